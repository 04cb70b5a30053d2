"""Slots for what nobody proposed, filled by lot after everybody else, each with the probability of what was drawn.

What listeners make of it says then how other choices would have fared (inverse propensity; Horvitz & Thompson 1952).
"""

import hashlib
import random
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.fill.arrange import follows, is_apart
from trackpools.fill.checks import level
from trackpools.fill.choose import Ask, holds
from trackpools.fill.compose import asked
from trackpools.fill.contract import FillRequest
from trackpools.fill.given import Given

Array = NDArray[Any]
MOST = 16  # tracks in a lot: each is tried in the place that it would take


def explored(given: Given, request: FillRequest, rows: Array) -> tuple[Array, dict[int, float]]:
    """The playlist with its slots filled, and place → probability, given the pool and the other tracks.

    A share of the places, rounded down, is drawn by lot, never those of seeds. For each every track of `given.lot` that may stand there is as likely as
    any other: of those with which all holds that was asked for. Where there is none, what stood there stays; so does all where something asked for could
    not be had. The same request draws the same.
    """
    slots = int(len(rows) * given.house.explore)
    stage = _Stage.of(given, rows) if slots and len(given.lot) else None
    if stage is None:
        return rows, {}
    drawn = random.Random(_seed(request))  # noqa: S311 - a lot, no secret
    seeds = {row for row in given.seeds.values() if row is not None}
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
    """What a playlist must go on holding.

    Attributes:
        at: row of the catalogue → place in the question.
        apart: whether no artist stands twice in a row.
    """

    given: Given
    ask: Ask
    at: dict[int, int]
    apart: bool

    @staticmethod
    def of(given: Given, rows: Array) -> "_Stage | None":
        """None where the playlist does not hold all that was asked for."""
        ask, passing = asked(
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
            if holds(one, mine):
                return _Stage(given, one, at, is_apart(given.tracks.artist[rows]))
        return None

    def fitting(self, rows: Array, place: int) -> list[int]:
        """The first of the lot that may stand in a place."""
        tracks, others = self.given.tracks, np.delete(rows, place)
        lot = self.given.lot[~np.isin(tracks.song[self.given.lot], tracks.song[others])]
        new = [row for row in lot.tolist() if row in self.at and row != rows[place]][:MOST]
        return [row for row in new if self._holds(np.insert(others, place, row))]

    def _holds(self, rows: Array) -> bool:
        tracks, arc = self.given.tracks, self.given.wanted.arc
        return (
            holds(self.ask, np.array([self.at[row] for row in rows.tolist()]))
            and (not self.apart or is_apart(tracks.artist[rows]))
            and (arc is None or follows(level(tracks, rows), arc))
        )


def _seed(request: FillRequest) -> int:
    told = f"{request.seed}\0{request.user_id}\0{request.prompt}"
    return int.from_bytes(hashlib.sha256(told.encode("utf-8", "surrogatepass")).digest()[:8], "big")
