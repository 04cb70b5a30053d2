"""What a fill starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.config_fill import FillConfig
from trackpools.config_llm import LlmConfig
from trackpools.fill.compose import Candidates
from trackpools.fill.constraints import Constraints
from trackpools.fill.pack import PACKAGED, Instructions
from trackpools.fill.tracks import Listener, Tracks


@dataclass(frozen=True)
class Given:
    """What a fill starts from: the catalogue, the closed world, what is wanted of it and by whom.

    Attributes:
        seeds: as `world.seeded` finds them.
        lot: rows that nobody but the explore source proposed, for `exploring`.
        instructions: of the model, where one is asked.
    """

    tracks: Tracks
    candidates: Candidates
    wanted: Constraints
    listener: Listener
    seeds: Mapping[str, int | None]
    house: FillConfig
    llm: LlmConfig
    lot: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.int64))
    instructions: Instructions = PACKAGED
