"""Fill explore slots of a finished playlist with random tracks, and record their probabilities.

The tracks are drawn from those that only the source explore proposed. From these probabilities and the users'
reactions, one can estimate how well other choices would have done (inverse propensity; Horvitz & Thompson
1952).
"""

import hashlib
import random
from dataclasses import dataclass, replace

import numpy as np

from trackpools.core.arrays.array_types import Int64Array
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.solver.compose import build_problem
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.solver.selection import SelectionProblem, is_solution
from trackpools.fill.solver.sequence import follows_arc, is_apart
from trackpools.fill.solver.verify import arc_levels

MAX_EXPLORE_CANDIDATES = 16  # greatest number of tracks to draw from for a slot: each is verified there first


def fill_explore_slots(
    inputs: FillInputs, request: FillRequest, rows: Int64Array
) -> tuple[Int64Array, dict[int, float]]:
    """Replace tracks at randomly drawn places by randomly drawn tracks of `inputs.lot`.

    The number of places is the share `inputs.house.explore` of the playlist, rounded down; places of seeds
    are never drawn. For each place, all tracks with which the playlist still satisfies every constraint are
    equally likely. If there is no such track, the old one stays. If the playlist does not satisfy all
    constraints already, it stays unchanged. The same request draws the same tracks.

    Args:
        inputs: the inputs of the fill.
        request: the request; its seed, user and prompt determine the draw.
        rows: int64, rows of the playlist in its order.

    Returns:
        The rows with the slots filled, and place (from 0) → probability of the track drawn for it, given the
        pool and the other tracks.
    """
    slots = int(len(rows) * inputs.house.explore)
    stage = _Stage.of(inputs, rows) if slots and len(inputs.lot) else None
    if stage is None:
        return rows, {}
    drawn = random.Random(_seed(request))  # noqa: S311 - the draw is no secret
    seeds = {row for row in inputs.seeds.values() if row is not None}
    free = [place for place, row in enumerate(rows.tolist()) if row not in seeds]
    made, chances = rows.copy(), {}
    for place in sorted(drawn.sample(free, min(slots, len(free)))):
        fit = stage.fitting(made, place)
        if fit:
            made[place] = drawn.choice(fit)
            chances[place] = 1 / len(fit)
    return made, chances


@dataclass(frozen=True)
class _Stage:
    """The conditions that the playlist satisfies, and must still satisfy after tracks are replaced.

    Attributes:
        given: the inputs of the fill.
        ask: the selection problem that the playlist solves.
        at: row of the catalogue → its place among the candidates of `ask`.
        apart: whether no two neighbours in the playlist are by the same artist.
    """

    given: FillInputs
    ask: SelectionProblem
    at: dict[int, int]
    apart: bool

    @staticmethod
    def of(given: FillInputs, rows: Int64Array) -> "_Stage | None":
        """Build the conditions; return None if the playlist does not satisfy all constraints."""
        ask, passing = build_problem(
            given.tracks,
            given.candidates,
            given.wanted.model_copy(update={"tracks": len(rows)}),
            given.listener,
            given.seeds,
        )
        at = {row: place for place, row in enumerate(passing.tolist())}
        if any(row not in at for row in rows.tolist()):
            return None
        mine = np.array([at[row] for row in rows.tolist()])
        capped = ask if ask.artist_cap is not None else replace(ask, artist_cap=given.house.artist_cap)
        for one in (capped, ask):
            if is_solution(one, mine):
                return _Stage(given, one, at, is_apart(given.tracks.artist[rows]))
        return None

    def fitting(self, rows: Int64Array, place: int) -> list[int]:
        """Return the rows of `given.lot` that, at this place, keep all conditions satisfied.

        Only the first MAX_EXPLORE_CANDIDATES rows whose songs are new to the playlist are tried.
        """
        tracks, others = self.given.tracks, np.delete(rows, place)
        lot = self.given.lot[~np.isin(tracks.song[self.given.lot], tracks.song[others])]
        new = [row for row in lot.tolist() if row in self.at and row != rows[place]][:MAX_EXPLORE_CANDIDATES]
        return [row for row in new if self._holds(np.insert(others, place, row))]

    def _holds(self, rows: Int64Array) -> bool:
        tracks, arc = self.given.tracks, self.given.wanted.arc
        return (
            is_solution(self.ask, np.array([self.at[row] for row in rows.tolist()]))
            and (not self.apart or is_apart(tracks.artist[rows]))
            and (arc is None or follows_arc(arc_levels(tracks, rows), arc))
        )


def _seed(request: FillRequest) -> int:
    told = f"{request.seed}\0{request.user_id}\0{request.prompt}"
    return int.from_bytes(hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:8], "big")
