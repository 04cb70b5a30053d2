"""How much a refresh renews by turns, and when it advises a full run."""

from typing import Annotated

from pydantic import Field

from trackpools.config_values import Section, Share


class RefreshConfig(Section):
    rota: Annotated[int, Field(ge=1, le=100_000)]
    at_hand: Annotated[int, Field(ge=0, le=10_000_000)]
    max_hot_share: Share
    max_unknown_share: Share
    max_model_days: Annotated[int, Field(ge=1, le=3650)]
