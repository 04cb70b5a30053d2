"""The fill without a model: from candidates and constraints to rows in their order. It is first class: every other way ends here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.config_fill import FillConfig
from trackpools.fill.arrange import arranged
from trackpools.fill.checks import level
from trackpools.fill.choose import Ask, choose, quickly
from trackpools.fill.constraints import Constraints
from trackpools.fill.relax import relaxed
from trackpools.fill.tracks import Listener, Tracks, passing, verdicts

Array = NDArray[Any]
FAVOUR = 10.0  # what a model's choice is worth: more than place and preference together
PREFERRED = 1.0  # what a preferred track is worth beyond its place: the whole way from the last candidate to the first


@dataclass(frozen=True)
class Candidates:
    """The closed world of a request.

    Attributes:
        rows: of the catalogue, best first; `value` float64, falls.
        allowed: all rows that the rules let the listener have, to tell what binds.
    """

    rows: Array
    value: Array
    allowed: Array


def favoured(found: Candidates, rows: Sequence[int]) -> Candidates:
    """The candidates with those of a model before all others, in its order; what is no candidate stays none."""
    place = {row: at for at, row in enumerate(rows)}
    value = [
        FAVOUR - at / len(place) if (at := place.get(row)) is not None else worth
        for row, worth in zip(found.rows.tolist(), found.value, strict=True)
    ]
    return Candidates(found.rows, np.array(value), found.allowed)


@dataclass(frozen=True)
class Composed:
    """Rows in their order; what was loosened; what binds where it is less than was asked."""

    rows: Array
    loosened: tuple[str, ...] = ()
    why: str = ""


def compose(
    tracks: Tracks,
    found: Candidates,
    wanted: Constraints,
    who: Listener,
    seeds: Mapping[str, int | None],
    *,
    house: FillConfig,
    relax: bool,
) -> Composed:
    """A playlist that is as asked for, where there is one; else as near as its hard constraints let it.

    What every track must be, the caps and the closed world are never broken unless `relax` allows it and `loosened` says so; what cannot be had is
    length, shares and seeds.

    Args:
        seeds: of each, the row that is meant.
    """
    full = _sized(wanted, house)
    taken: tuple[str, ...] = ()
    for attempt, taken in _attempts(full, house, relax=relax):
        ask, rows = asked(tracks, found, attempt, who, seeds)
        if not hopeless(ask) and (chosen := choose(ask, house.solver_s)) is not None:
            return Composed(_ordered(tracks, rows[chosen], attempt, house), taken)
    ask, rows = asked(tracks, found, full, who, seeds)
    in_vain = ("nothing that may be loosened helps; tried: " + "; ".join(taken),) if relax and taken else ()
    return Composed(
        _ordered(tracks, rows[_most(ask, house.solver_s)], full, house),
        in_vain,
        binding(tracks, found, full, who),
    )


def _sized(wanted: Constraints, house: FillConfig) -> Constraints:
    return (
        wanted
        if wanted.tracks is not None or wanted.seconds is not None
        else wanted.model_copy(update={"tracks": house.tracks})
    )


def may_exist(tracks: Tracks, allowed: Array, wanted: Constraints, who: Listener, house: FillConfig) -> bool:
    """Whether a playlist of the allowed rows may be as asked for, as far as that can be told without a solver."""
    ask, _ = asked(
        tracks, Candidates(allowed, np.zeros(len(allowed)), allowed), _sized(wanted, house), who, {}
    )
    return not hopeless(ask)


def _attempts(
    full: Constraints, house: FillConfig, *, relax: bool
) -> Iterator[tuple[Constraints, tuple[str, ...]]]:
    """What is tried in turn: with the rules of the house, without them, then loosened; and what is said of it."""
    named = any(of.artists or of.top for of in (full.every, *(part.of for part in full.parts)))
    capped = (
        full
        if named or full.artist_cap is not None
        else full.model_copy(update={"artist_cap": house.artist_cap})
    )
    own = capped.model_copy(update={"apart": capped.apart or house.apart})
    tried: list[tuple[Constraints, tuple[str, ...]]] = [(own, ())]
    for looser, said in ((capped, ()), (full, ("an artist may have more tracks than usual",))):
        if all(looser != one for one, _ in tried):
            tried.append((looser, said))
    yield from tried
    if relax:
        yield from relaxed(full)


def asked(
    tracks: Tracks,
    found: Candidates,
    wanted: Constraints,
    listener: Listener,
    seeds: Mapping[str, int | None],
) -> tuple[Ask, Array]:
    """The question for `choose`, and the rows of the catalogue that it is about: those that pass what every track must be."""
    inside = passing(tracks, wanted.every, listener)
    parts = [passing(tracks, part.of, listener) for part in wanted.parts]
    if wanted.closed:
        inside = inside & np.logical_or.reduce(parts)
    if wanted.seconds is not None:
        inside = inside & ~np.isnan(tracks.number["seconds"])
    kept = inside[found.rows]
    rows, value = found.rows[kept], found.value[kept]
    if wanted.prefer.asked:
        value = value + PREFERRED * _preferred(tracks, rows, wanted, listener)
    must = np.isin(rows, [row for row in seeds.values() if row is not None])
    one = _one_version(tracks.song[rows], value, must)
    rows, value, must = rows[one], value[one], must[one]
    ask = Ask(
        value,
        np.nan_to_num(tracks.number["seconds"][rows]),
        tracks.artist[rows],
        tracks.album[rows],
        tuple((of[rows], part.share) for of, part in zip(parts, wanted.parts, strict=True)),
        must,
        wanted.tracks,
        None if wanted.seconds is None else wanted.span,
        wanted.artist_cap,
        wanted.album_cap,
        wanted.apart,
    )
    return ask, rows


def _one_version(song: Array, value: Array, must: Array) -> Array:
    """Of each song the version that must be in, else the best, in their order."""
    order = np.lexsort((np.arange(len(song)), -value, ~must))
    return np.sort(order[np.unique(song[order], return_index=True)[1]])


def _preferred(tracks: Tracks, rows: Array, wanted: Constraints, listener: Listener) -> Array:
    """Share of what is preferred that each row has."""
    told = [passes[rows] for passes, _ in verdicts(tracks, wanted.prefer, listener).values()]
    return np.asarray(np.mean(told, axis=0))


def hopeless(ask: Ask) -> bool:
    """Whether it takes no solver to see that there is no such choice."""
    counts = np.unique(ask.artist, return_counts=True)[1]
    most = int(np.minimum(counts, ask.artist_cap or len(ask)).sum())
    if ask.span is not None and np.sort(ask.seconds)[::-1][:most].sum() < ask.span[0]:
        return True
    return most < max(ask.tracks or 1, int(ask.musts.sum())) or any(
        of.sum() < share * (ask.tracks or 1) - 1e-9 for of, share in ask.parts
    )


def _most(ask: Ask, seconds: float) -> Array:
    """The most of what is asked that the hard constraints allow: shares and seeds go first, then the length."""
    bare = replace(ask, parts=(), must=None)
    for attempt in (replace(ask, must=None), bare):
        if not hopeless(attempt) and (chosen := choose(attempt, seconds)) is not None:
            return chosen
    for count in range(min(ask.tracks or len(ask), len(ask)), 0, -1):
        chosen = quickly(replace(bare, tracks=count, span=None))
        if chosen is not None and (ask.span is None or bare.seconds[chosen].sum() <= ask.span[1]):
            return chosen
    return np.empty(0, np.int64)


def _ordered(tracks: Tracks, rows: Array, wanted: Constraints, house: FillConfig) -> Array:
    apart = house.apart or wanted.apart
    return (
        rows[arranged(tracks.artist[rows], level(tracks, rows), wanted.arc, apart=apart)]
        if len(rows)
        else rows
    )


def binding(tracks: Tracks, found: Candidates, wanted: Constraints, listener: Listener) -> str:
    """Which of the things that every track must be costs most, and by how much: what of the whole catalogue passes without it."""
    rows = found.allowed
    if not len(rows):
        return "the rules leave this listener no track at all: rights, explicit words, what is blocked or switched off"
    if wanted.seconds is not None and np.isnan(tracks.number["seconds"][rows]).all():
        return f"seconds: of all {len(rows):,} tracks the length is unknown"
    told = verdicts(tracks, wanted.every, listener)
    passes = {name: one[rows] for name, (one, _) in told.items()}
    everyone = np.ones(len(rows), bool)
    whole = int(np.logical_and.reduce([everyone, *passes.values()]).sum())
    without = {
        name: int(
            np.logical_and.reduce([everyone, *(one for other, one in passes.items() if other != name)]).sum()
        )
        for name in passes
    }
    if not without or max(without.values()) == whole:
        return f"{whole:,} of {len(rows):,} tracks pass; caps, shares or lengths leave no more"
    name = max(without, key=lambda one: without[one])
    unknown = int(told[name][1][rows].sum())
    return f"{name}: {whole:,} tracks pass, {without[name]:,} without it" + (
        f"; of {unknown:,} of {len(rows):,} it is unknown" if unknown else ""
    )
