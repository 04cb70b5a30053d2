"""How playlists are filled where a request does not say."""

from typing import Annotated

from pydantic import AfterValidator, Field

from trackpools.config_values import Count, Section, Share, finite


class FillConfig(Section):
    tracks: Annotated[int, Field(ge=1, le=500)]
    artist_cap: Annotated[int, Field(ge=1, le=500)]
    apart: bool
    retrieved: Annotated[int, Field(ge=0, le=10_000)]
    trace: Share
    solver_s: Annotated[float, Field(gt=0, le=60), AfterValidator(finite)]
    explore: Share
    keep: bool
    keep_batch: Count
    keep_s: Annotated[float, Field(ge=0, le=3600), AfterValidator(finite)]
