"""What candidate sources may be told: a section each below `sources`; one of your own needs no class here.

A source of yours is a file in `core/sources` and a section of the same name with `enabled`, `k`, `weight` and, below `settings`, what it likes.
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

from trackpools.config_values import Count, NonNegative, Positive, Section, Share, finite

Items = Annotated[int, Field(ge=1, le=100_000)]
Seeds = Annotated[int, Field(ge=1, le=1000)]


class SourceConfig(Section):
    """What every source is told: whether it is asked, for how many items a user, and what these weigh in the blend."""

    enabled: bool
    k: Items
    weight: Positive


class OwnSourceConfig(SourceConfig):
    settings: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = Field(default_factory=dict)


class AlsSourceConfig(SourceConfig):
    k_heard: Annotated[int, Field(ge=0, le=100_000)]


class SeededSourceConfig(SourceConfig):
    """Looks up lists of what a listener loves most and of what was played last."""

    seeds: Seeds
    recent_days: Annotated[float, Field(ge=0.1, le=36_500), AfterValidator(finite)]
    list_length: Items


class CooccurrenceSourceConfig(SeededSourceConfig):
    window: Annotated[int, Field(ge=2, le=1000)]
    days: Annotated[int, Field(ge=1, le=36_500)]
    shrink: NonNegative


class ArtistGraphSourceConfig(SourceConfig):
    seeds: Seeds
    own: Items
    related: Annotated[int, Field(ge=0, le=1000)]
    of_related: Annotated[int, Field(ge=0, le=1000)]
    shrink: NonNegative


class FamiliarSourceConfig(SourceConfig):
    decay: Annotated[float, Field(gt=0, lt=1), AfterValidator(finite)]


class RediscoverSourceConfig(SourceConfig):
    decay: Annotated[float, Field(gt=0, lt=1), AfterValidator(finite)]
    quiet_days: Annotated[int, Field(ge=1, le=36_500)]
    min_plays: Count


class PopularSourceConfig(SourceConfig):
    tags: Annotated[int, Field(ge=0, le=100)]
    decades: Annotated[int, Field(ge=0, le=20)]
    list_length: Items


class TagsSourceConfig(SourceConfig):
    tags: Annotated[int, Field(ge=1, le=100)]
    list_length: Items
    popularity: Share


class FreshSourceConfig(SourceConfig):
    days: Annotated[int, Field(ge=1, le=3650)]


class ExploreSourceConfig(SourceConfig):
    slots: Annotated[int, Field(ge=0, le=10_000)]
    list_length: Items


class VectorsSourceConfig(SourceConfig):
    length: Annotated[int, Field(ge=1, le=4096)]
    metric: Literal["inner", "cosine"]


class SourcesConfig(Section):
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
        """All sources there is a section for."""
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
            raise ValueError(f"no core/sources/*.py for {told}; known here: {', '.join(cls.model_fields)}")
        return given

    @model_validator(mode="after")
    def _some(self) -> "SourcesConfig":
        if not any(getattr(self, name).enabled for name in self.names):
            raise ValueError(
                "every source is off; set one such as sources.als.enabled or sources.popular.enabled to true"
            )
        return self
