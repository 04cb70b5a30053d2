"""The inputs of a fill, after its prompt was parsed and its candidates were found."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trackpools.config.fills import FillConfig, LlmConfig
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.instructions import PACKAGED, Instructions
from trackpools.fill.solver.catalogue import Listener, Tracks
from trackpools.fill.solver.compose import FillCandidates


@dataclass(frozen=True)
class FillInputs:
    """The inputs of `flow.fill.fill_playlist`.

    Attributes:
        tracks: the catalogue of the user's market.
        candidates: the candidates of the request.
        wanted: the constraints of the prompt and of the request, merged.
        listener: the user's data that filters need.
        seeds: title or track id of a seed → its row, or None if no allowed row matches; see
            `candidates.add_seeds`.
        house: the configuration of fills.
        llm: the configuration of language models.
        lot: int64, rows of the catalogue that only the source explore proposed; `fill_explore_slots` draws
            from them.
        instructions: the instructions for the language model, if one is asked.
    """

    tracks: Tracks
    candidates: FillCandidates
    wanted: Constraints
    listener: Listener
    seeds: Mapping[str, int | None]
    house: FillConfig
    llm: LlmConfig
    lot: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    instructions: Instructions = PACKAGED
