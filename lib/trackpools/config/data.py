"""Settings about the input: contracts of tables, plays that show no taste or look bought, and minors.

`conf/base.yml` explains every key; the files in `conf/contracts` explain the keys of a contract.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from trackpools.config.values import ColumnName, Contexts, Count, Positive, Root, Section, Share, finite, text


class ContractsConfig(Section):
    """Where the input contracts are: the files that say what each input table must fulfil."""

    folder: Root | None


class Complete(Section):
    """When an hour of the table `plays` counts as missing, because it has too few plays.

    Each of the last 24 hours of each market is compared with the same hour on the days before; see
    `core.log.completeness.thin_hours`.

    Attributes:
        days: number of earlier days to compare with. The usual number of plays of an hour is the median over
            these days.
        least_share: an hour with fewer plays than this share of its usual number counts as missing.
        least_plays: hours with a usual number below this are not checked. Neither are hours that had plays on
            only half of these days or fewer.
    """

    days: Annotated[int, Field(ge=2, le=90)]
    least_share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    least_plays: Count


class Contract(Section):
    """What one input table must fulfil, as one YAML file in the folder `contracts.folder` states it.

    Attributes:
        table: the input table.
        owner: who delivers the table; error messages name this owner.
        schema_version: value of `ingest.schema_version` that the last import must have had.
        fresh_hours: most hours between the latest row of the table and the run. The rows of `tracks` and
            `users` have no times, so their hours are counted from the last import that changed the table. If
            this is None, the age of the table is not checked.
        filled: column → least share of rows in which the column is not null. For `plays` and `signals`, only
            rows of the last 7 days are counted.
        complete: when an hour counts as missing; only for the table `plays`. If this is None, hours are not
            checked.
    """

    table: Literal["plays", "signals", "tracks", "users"]
    owner: Annotated[str, text(r".{1,200}", "1 to 200 printable characters")]
    schema_version: Count
    fresh_hours: Positive | None = None
    filled: dict[ColumnName, Share] = Field(default_factory=dict)
    complete: Complete | None = None

    @field_validator("complete")
    @classmethod
    def _timed(cls, complete: Complete | None, info: ValidationInfo) -> Complete | None:
        if complete is not None and info.data.get("table") != "plays":
            raise ValueError(
                "only the contract of table plays may have `complete`, because it counts plays by hour; remove `complete`"
            )
        return complete


Tags = Annotated[
    list[Annotated[str, text(r"[^A-Z]{1,64}", "a tag of 1 to 64 characters in lower case")]],
    Field(max_length=1000),
]


class TagsConfig(Section):
    """Catalogue tags of audio that shows no taste, one list for each kind of such audio."""

    sleep: Tags
    kids: Tags
    noise: Tags
    functional: Tags


class TasteConfig(Section):
    """Which plays show no taste, which look bought, and which users are minors.

    The plays of a recording look bought if its users typically play it often and play little else; see
    `core.log.bought_plays`. `conf/base.yml` explains every key. These four need more words:

    Attributes:
        loop_plays: if a user plays a recording at least this often on a UTC day, all these plays are a loop.
        share: least share of a recording's user-days (a user on one day) that must be masked, so that the
            recording counts as showing no taste of any user.
        min_users: least number of users with such a masked day, which is needed too.
        inflated_lead: least median lead of a recording that looks bought. The lead of a user is the user's
            plays of the recording, divided by the plays of the user's most played other recording.
    """

    exclude_contexts: Contexts
    loop_plays: Annotated[int, Field(ge=2, le=1_000_000)]
    share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    min_users: Count
    tags: TagsConfig
    inflated_listeners: Count
    inflated_plays: Annotated[float, Field(ge=1, le=1e6), AfterValidator(finite)]
    inflated_share: Share
    inflated_lead: Annotated[float, Field(ge=1, le=1e6), AfterValidator(finite)]
    minor_bands: Annotated[
        list[Annotated[str, text(r"[^,]{1,32}", "a band of 1 to 32 characters such as 13-17")]],
        Field(max_length=100),
    ]
