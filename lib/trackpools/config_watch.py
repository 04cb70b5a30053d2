"""How far from the usual a log and its pools may be before somebody on call is told."""

from typing import Annotated

from pydantic import AfterValidator, Field

from trackpools.config_values import Positive, Section, Share, finite


class WatchConfig(Section):
    fresh_hours: Positive
    volume: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    nulls: Share
    psi: Positive
    lost: Share
    new: Share
    fill: Share
    short: Share
