"""What is given up where there is no playlist as asked for, in which order, and only with leave.

Never given up: what is refused (artists, tags, languages, versions, explicit words), whom and what it is by, and whether it was heard.
"""

from collections.abc import Callable, Iterator
from typing import Any

from trackpools.fill.constraints import Band, Constraints, Filter

YEARS, BPM, ENERGY, SHARE = 5, 15, 0.15, 0.15  # by how much bands widen


def _with(wanted: Constraints, change: Callable[[Filter], dict[str, Any]]) -> Constraints:
    """The constraints with every filter of tracks changed."""
    parts = tuple(
        part.model_copy(update={"of": part.of.model_copy(update=change(part.of))}) for part in wanted.parts
    )
    return wanted.model_copy(
        update={"every": wanted.every.model_copy(update=change(wanted.every)), "parts": parts}
    )


def _wider(name: str, by: float) -> Callable[[Constraints], Constraints]:
    def band(one: Band | None) -> Band | None:
        return one and Band(
            low=None if one.low is None else one.low - by, high=None if one.high is None else one.high + by
        )

    return lambda wanted: _with(wanted, lambda of: {name: band(getattr(of, name))})


def _years(wanted: Constraints) -> Constraints:
    def wider(one: Band) -> Band:
        return Band(
            low=None if one.low is None else one.low - YEARS,
            high=None if one.high is None else one.high + YEARS,
        )

    return _with(wanted, lambda of: {"years": tuple(wider(one) for one in of.years)})


def _half_shares(wanted: Constraints) -> Constraints:
    return wanted.model_copy(
        update={"parts": tuple(part.model_copy(update={"share": part.share / 2}) for part in wanted.parts)}
    )


def _longer(wanted: Constraints) -> Constraints:
    return (
        wanted
        if wanted.seconds is None
        else wanted.model_copy(update={"tolerance": max(wanted.tolerance, 0.15)})
    )


STEPS: tuple[tuple[str, Callable[[Constraints], Constraints]], ...] = (
    ("the length may differ by 15 %", _longer),
    ("tracks of one artist may follow each other", lambda wanted: wanted.model_copy(update={"apart": False})),
    ("parts may have half their share", _half_shares),
    (f"tempo may differ by {BPM} bpm", _wider("tempo", BPM)),
    (f"energy may differ by {ENERGY}", _wider("energy", ENERGY)),
    (f"popularity may differ by {SHARE}", _wider("popularity", SHARE)),
    (f"years may differ by {YEARS}", _years),
    (
        "an artist may have twice as many tracks",
        lambda wanted: wanted.model_copy(update={"artist_cap": wanted.artist_cap and 2 * wanted.artist_cap}),
    ),
    (
        "an album may have twice as many tracks",
        lambda wanted: wanted.model_copy(update={"album_cap": wanted.album_cap and 2 * wanted.album_cap}),
    ),
    (
        "half the days without hearing will do",
        lambda wanted: _with(wanted, lambda of: {"quiet_days": of.quiet_days and max(of.quiet_days // 2, 1)}),
    ),
)


def relaxed(wanted: Constraints) -> Iterator[tuple[Constraints, tuple[str, ...]]]:
    """The constraints with one more step taken each time, and the steps taken so far; steps that change nothing are left out."""
    taken: tuple[str, ...] = ()
    for name, step in STEPS:
        wider = step(wanted)
        if wider != wanted:
            wanted, taken = wider, (*taken, name)
            yield wanted, taken
