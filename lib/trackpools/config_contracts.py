"""What an input promises: who answers for it, which version of it was brought, how young it is, how full."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from trackpools.config_values import ColumnName, Count, Positive, Root, Section, Share, finite, text


class ContractsConfig(Section):
    folder: Root | None


class Complete(Section):
    days: Annotated[int, Field(ge=2, le=90)]
    least_share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    least_plays: Count


class Contract(Section):
    """One file of `conf/contracts`."""

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
            raise ValueError("only plays have hours; leave it out")
        return complete
