"""Settings of the candidate sources, one section below `sources` for each.

A source of your own needs no class in this file. Add a file to `core/sources` and a section of the same name
with `enabled`, `k`, `weight` and, below `settings`, any keys of your own. `conf/base.yml` explains every key.
"""

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from trackpools.config.values import Count, NonNegative, Positive, Section, Share, finite

Items = Annotated[int, Field(ge=1, le=100_000)]
Seeds = Annotated[int, Field(ge=1, le=1000)]


class SourceConfig(Section):
    """The settings of every source.

    Attributes:
        enabled: whether the source proposes candidates.
        k: most candidates of the source for each user.
        weight: weight of its candidates in the blend.
    """

    enabled: bool
    k: Items
    weight: Positive


class OwnSourceConfig(SourceConfig):
    """The settings of a source of your own; `settings` may hold any keys with single values."""

    settings: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = Field(default_factory=dict)


class AlsSourceConfig(SourceConfig):
    """The settings of the source `als`; `k` counts new recordings, and `k_heard` heard ones."""

    k_heard: Annotated[int, Field(ge=0, le=100_000)]


class SeededSourceConfig(SourceConfig):
    """The settings of a source that looks up lists for seeds.

    Seeds are recordings of the user: half are those with the greatest weight, half those played last.

    Attributes:
        seeds: number of seeds of a user.
        recent_days: days after which a recent play counts half.
        list_length: length of the list that is stored for each recording.
    """

    seeds: Seeds
    recent_days: Annotated[float, Field(ge=0.1, le=36_500), AfterValidator(finite)]
    list_length: Items


class CooccurrenceSourceConfig(SeededSourceConfig):
    """The settings of the source `cooccurrence`, which finds what the same users heard on the same day.

    Attributes:
        window: most recordings of a user's day that count.
        days: latest days of a user that count.
        shrink: a pair of recordings that this many users share keeps half of its lift.
    """

    window: Annotated[int, Field(ge=2, le=1000)]
    days: Annotated[int, Field(ge=1, le=36_500)]
    shrink: NonNegative


class ArtistGraphSourceConfig(SourceConfig):
    """The settings of the source `artist_graph`, which finds recordings of loved and of related artists.

    Attributes:
        seeds: number of loved artists that are looked up.
        own: recordings of each loved artist.
        related: related artists of each loved artist.
        of_related: recordings of each related artist.
        shrink: a pair of artists that this many users share keeps half of its lift.
    """

    seeds: Seeds
    own: Items
    related: Annotated[int, Field(ge=0, le=1000)]
    of_related: Annotated[int, Field(ge=0, le=1000)]
    shrink: NonNegative


class FamiliarSourceConfig(SourceConfig):
    """The settings of the source `familiar`; `decay` is the rate of forgetting."""

    decay: Annotated[float, Field(gt=0, lt=1), AfterValidator(finite)]


class RediscoverSourceConfig(SourceConfig):
    """The settings of the source `rediscover`; `decay` is the rate of forgetting."""

    decay: Annotated[float, Field(gt=0, lt=1), AfterValidator(finite)]
    quiet_days: Annotated[int, Field(ge=1, le=36_500)]
    min_plays: Count


class PopularSourceConfig(SourceConfig):
    """The settings of the source `popular`; `tags` and `decades` are numbers of charts for each user."""

    tags: Annotated[int, Field(ge=0, le=100)]
    decades: Annotated[int, Field(ge=0, le=20)]
    list_length: Items


class TagsSourceConfig(SourceConfig):
    """The settings of the source `tags`; `tags` is the number of tags that are looked up for each user."""

    tags: Annotated[int, Field(ge=1, le=100)]
    list_length: Items
    popularity: Share


class FreshSourceConfig(SourceConfig):
    """The settings of the source `fresh`; `days` is the greatest age of a recording in days."""

    days: Annotated[int, Field(ge=1, le=3650)]


class ExploreSourceConfig(SourceConfig):
    """The settings of the source `explore`; `slots` is the number of places in a pool."""

    slots: Annotated[int, Field(ge=0, le=10_000)]
    list_length: Items


class VectorsSourceConfig(SourceConfig):
    """The settings of the source `vectors`; `length` is the number of values of a vector."""

    length: Annotated[int, Field(ge=1, le=4096)]
    metric: Literal["inner", "cosine"]


class SourcesConfig(Section):
    """The sections of all candidate sources; those of your own are in `__pydantic_extra__`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, OwnSourceConfig]

    als: AlsSourceConfig
    als_neighbours: SeededSourceConfig
    cooccurrence: CooccurrenceSourceConfig
    artist_graph: ArtistGraphSourceConfig
    familiar: FamiliarSourceConfig
    rediscover: RediscoverSourceConfig
    popular: PopularSourceConfig
    tags: TagsSourceConfig
    fresh: FreshSourceConfig
    explore: ExploreSourceConfig
    vectors: VectorsSourceConfig

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sources that have a section, including your own."""
        return (*type(self).model_fields, *(self.__pydantic_extra__ or {}))

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        own = [name for name in given if name not in cls.model_fields] if isinstance(given, dict) else []
        unknown = [
            name for name in own if not (name.isidentifier() and find_spec(f"trackpools.core.sources.{name}"))
        ]
        if unknown:
            told = ", ".join(ascii(name[:60])[1:-1] for name in unknown)
            raise ValueError(
                f"there is no candidate source {told}; the sources are {', '.join(cls.model_fields)}, "
                "and a source of your own needs the module trackpools.core.sources.NAME"
            )
        return given

    @model_validator(mode="after")
    def _some(self) -> "SourcesConfig":
        if not any(getattr(self, name).enabled for name in self.names):
            raise ValueError(
                "every source is off; set one such as sources.als.enabled or sources.popular.enabled to true"
            )
        return self
