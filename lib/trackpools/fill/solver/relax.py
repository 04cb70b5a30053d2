"""Relax constraints step by step, if no playlist satisfies all of them and the request allows it.

Only the constraints in STEPS are relaxed. Others never are, such as what the request refuses (artists, tags,
languages, versions, years, explicit words), the artists, tags and languages that it asks for, and whether a
track was heard.
"""

from collections.abc import Callable, Iterator
from typing import Any

from trackpools.fill.contract.constraints import Band, Constraints, Filter

# by how much a band widens at each end: years, beats per minute, energy (0 to 1), popularity (0 to 1)
YEARS, BPM, ENERGY, POPULARITY = 5, 15, 0.15, 0.15


def _with(wanted: Constraints, change: Callable[[Filter], dict[str, Any]]) -> Constraints:
    """Return the constraints with `every` and the filter of each part changed."""
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
    ("the shares of parts may be halved", _half_shares),
    (f"tempo may differ by {BPM} bpm", _wider("tempo", BPM)),
    (f"energy may differ by {ENERGY}", _wider("energy", ENERGY)),
    (f"popularity may differ by {POPULARITY}", _wider("popularity", POPULARITY)),
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
        "the days without hearing may be halved",
        lambda wanted: _with(wanted, lambda of: {"quiet_days": of.quiet_days and max(of.quiet_days // 2, 1)}),
    ),
)


def relaxations(wanted: Constraints) -> Iterator[tuple[Constraints, tuple[str, ...]]]:
    """Yield ever looser constraints, one step of STEPS at a time, each with the names of the steps so far.

    Each step is applied to the result of the steps before. A step that changes nothing is left out.
    """
    taken: tuple[str, ...] = ()
    for name, step in STEPS:
        wider = step(wanted)
        if wider != wanted:
            wanted, taken = wider, (*taken, name)
            yield wanted, taken
