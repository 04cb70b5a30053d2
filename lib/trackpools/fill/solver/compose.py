"""Compose a playlist by rules: select candidates that satisfy the constraints, and order them.

This needs no language model. A fill with a model ends here too: the tracks that the model chose get the
greatest values, and then the playlist is composed by the same rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trackpools.config.fills import FillConfig
from trackpools.core.arrays.array_types import BoolArray, Float64Array, Int64Array
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.solver.catalogue import Listener, Tracks, filter_results, rows_passing
from trackpools.fill.solver.relax import relaxations
from trackpools.fill.solver.selection import SelectionProblem, choose, choose_greedily
from trackpools.fill.solver.sequence import order_tracks
from trackpools.fill.solver.verify import arc_levels

# value of the model's first choice; a candidate that the model did not choose has at most 1 + PREFERRED
FAVOUR = 10.0
PREFERRED = 1.0  # added to the value of a track that satisfies all preferences; candidates' values are 0 to 1


@dataclass(frozen=True)
class FillCandidates:
    """The candidates of a request; no other track can enter the playlist.

    Attributes:
        rows: int64 [n], rows of the catalogue, best first.
        value: float64 [n], the value of each row; greater is better.
        allowed: int64, all rows that the rules allow the user, candidates or not. `binding_constraint` counts
            them to explain why a playlist misses a constraint.
    """

    rows: Int64Array
    value: Float64Array
    allowed: Int64Array


def prefer_rows(found: FillCandidates, rows: Sequence[int]) -> FillCandidates:
    """Give the rows that a model chose greater values than all others, falling in the model's order.

    Args:
        found: the candidates.
        rows: the model's choice, best first; rows that are no candidates are ignored.

    Returns:
        The same candidates with the new values.
    """
    place = {row: at for at, row in enumerate(rows)}
    value = [
        FAVOUR - at / len(place) if (at := place.get(row)) is not None else worth
        for row, worth in zip(found.rows.tolist(), found.value, strict=True)
    ]
    return FillCandidates(found.rows, np.array(value), found.allowed)


@dataclass(frozen=True)
class Composition:
    """A composed playlist.

    Attributes:
        rows: int64, rows of the catalogue, in the order of the playlist.
        loosened: what was relaxed, in words; or a note on the relaxations that were tried in vain.
        why: if the playlist misses a constraint, a sentence on the cause, see `binding_constraint`; else
            empty.
    """

    rows: Int64Array
    loosened: tuple[str, ...] = ()
    why: str = ""


def compose(
    tracks: Tracks,
    found: FillCandidates,
    wanted: Constraints,
    who: Listener,
    seeds: Mapping[str, int | None],
    *,
    house: FillConfig,
    relax: bool,
) -> Composition:
    """Compose a playlist that satisfies the constraints, or as many of them as possible.

    The hard constraints are the filter for every track and the caps, and that all tracks are candidates. The
    first two are only broken if `relax` is true, and then `loosened` reports it. If not all constraints can
    be satisfied, the playlist misses its seeds, the shares of its parts or its length.

    Args:
        tracks: the catalogue of the user's market.
        found: the candidates.
        wanted: the constraints. If they give neither a number of tracks nor a length, the configured number
            of tracks applies.
        who: the user's data that filters need.
        seeds: title or track id of a seed → its row, or None if no allowed row matches.
        house: the configuration of fills: default length, caps and solver time.
        relax: whether constraints may be loosened, in the order of `relax.STEPS`.
    """
    full = _sized(wanted, house)
    taken: tuple[str, ...] = ()
    for attempt, taken in _attempts(full, house, relax=relax):
        ask, rows = build_problem(tracks, found, attempt, who, seeds)
        if not is_infeasible(ask) and (chosen := choose(ask, house.solver_s)) is not None:
            return Composition(_ordered(tracks, rows[chosen], attempt, house), taken)
    ask, rows = build_problem(tracks, found, full, who, seeds)
    in_vain = ("loosening constraints did not help; tried: " + "; ".join(taken),) if relax and taken else ()
    return Composition(
        _ordered(tracks, rows[_best_effort(ask, house.solver_s)], full, house),
        in_vain,
        binding_constraint(tracks, found, full, who),
    )


def _sized(wanted: Constraints, house: FillConfig) -> Constraints:
    return (
        wanted
        if wanted.tracks is not None or wanted.seconds is not None
        else wanted.model_copy(update={"tracks": house.tracks})
    )


def may_exist(
    tracks: Tracks, allowed: Int64Array, wanted: Constraints, who: Listener, house: FillConfig
) -> bool:
    """Return whether the allowed rows may contain a playlist that satisfies the constraints.

    This is decided by `is_infeasible`, without a solver. So False is certain, but True is not.
    """
    ask, _ = build_problem(
        tracks, FillCandidates(allowed, np.zeros(len(allowed)), allowed), _sized(wanted, house), who, {}
    )
    return not is_infeasible(ask)


def _attempts(
    full: Constraints, house: FillConfig, *, relax: bool
) -> Iterator[tuple[Constraints, tuple[str, ...]]]:
    """Yield the constraints to try in turn, each with the notes on what was loosened.

    The first are the constraints with the configured defaults: the cap per artist (unless artists are asked
    for), and artists kept apart. Then follow the constraints with the default cap only, those without any
    default and, if `relax` is true, each relaxation.
    """
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
        yield from relaxations(full)


def build_problem(
    tracks: Tracks,
    found: FillCandidates,
    wanted: Constraints,
    listener: Listener,
    seeds: Mapping[str, int | None],
) -> tuple[SelectionProblem, Int64Array]:
    """Build the selection problem for `choose` from the candidates that pass `wanted.every`.

    If `wanted.closed` is true, each candidate must also pass the filter of a part. If a length is asked for,
    candidates of unknown length are left out. Of several versions of a song, one stays: a seed, else the one
    of greatest value.

    Returns:
        The problem, and for each of its candidates the row of the catalogue, int64 [n].
    """
    inside = rows_passing(tracks, wanted.every, listener)
    parts = [rows_passing(tracks, part.of, listener) for part in wanted.parts]
    if wanted.closed:
        inside = inside & np.logical_or.reduce(parts)
    if wanted.seconds is not None:
        inside = inside & ~np.isnan(tracks.number["seconds"])
    kept = inside[found.rows]
    rows, value = found.rows[kept], found.value[kept]
    if wanted.prefer.set_fields:
        value = value + PREFERRED * _preferred(tracks, rows, wanted, listener)
    must = np.isin(rows, [row for row in seeds.values() if row is not None])
    one = _one_version(tracks.song[rows], value, must)
    rows, value, must = rows[one], value[one], must[one]
    ask = SelectionProblem(
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


def _one_version(song: Int64Array, value: Float64Array, must: BoolArray) -> Int64Array:
    """Return the places of one version of each song, ascending: one that must be in, else the best."""
    order = np.lexsort((np.arange(len(song)), -value, ~must))
    return np.sort(order[np.unique(song[order], return_index=True)[1]])


def _preferred(tracks: Tracks, rows: Int64Array, wanted: Constraints, listener: Listener) -> Float64Array:
    """Return the share of the preferences that each row satisfies, float64 [len(rows)]."""
    told = [passes[rows] for passes, _ in filter_results(tracks, wanted.prefer, listener).values()]
    return np.asarray(np.mean(told, axis=0))


def is_infeasible(ask: SelectionProblem) -> bool:
    """Return whether simple counts already show that the problem has no solution.

    There is none if, under the cap per artist, too few tracks remain for the number asked for or for the
    seeds, if the longest of so many tracks do not reach the least length, or if a part has too few
    candidates.
    """
    counts = np.unique(ask.artist, return_counts=True)[1]
    most = int(np.minimum(counts, ask.artist_cap or len(ask)).sum())
    if ask.span is not None and np.sort(ask.seconds)[::-1][:most].sum() < ask.span[0]:
        return True
    return most < max(ask.tracks or 1, int(ask.musts.sum())) or any(
        of.sum() < share * (ask.tracks or 1) - 1e-9 for of, share in ask.parts
    )


def _best_effort(ask: SelectionProblem, seconds: float) -> Int64Array:
    """Return places of candidates that satisfy the hard constraints, and of the others what is possible.

    Given up are first the seeds, then also the shares of the parts, and then the number of tracks or the
    least length. The result is empty if no track can be chosen.
    """
    bare = replace(ask, parts=(), must=None)
    for attempt in (replace(ask, must=None), bare):
        if not is_infeasible(attempt) and (chosen := choose(attempt, seconds)) is not None:
            return chosen
    for count in range(min(ask.tracks or len(ask), len(ask)), 0, -1):
        chosen = choose_greedily(replace(bare, tracks=count, span=None))
        if chosen is not None and (ask.span is None or bare.seconds[chosen].sum() <= ask.span[1]):
            return chosen
    return np.empty(0, np.int64)


def _ordered(tracks: Tracks, rows: Int64Array, wanted: Constraints, house: FillConfig) -> Int64Array:
    apart = house.apart or wanted.apart
    return (
        rows[order_tracks(tracks.artist[rows], arc_levels(tracks, rows), wanted.arc, apart=apart)]
        if len(rows)
        else rows
    )


def binding_constraint(tracks: Tracks, found: FillCandidates, wanted: Constraints, listener: Listener) -> str:
    """Say why no playlist satisfies the constraints, for the user.

    Usually, this names the condition of `wanted.every` that excludes most tracks, and how many tracks would
    pass without it. Other causes are that the rules allow no track at all, that no length is known, and the
    caps, shares or lengths. The counts are over all rows that the rules allow the user, not only over the
    candidates.
    """
    rows = found.allowed
    if not len(rows):
        return "the rules (rights, explicit words, blocks and switches) allow this user no track at all"
    if wanted.seconds is not None and np.isnan(tracks.number["seconds"][rows]).all():
        return f"seconds: the length of all {len(rows):,} tracks is unknown"
    told = filter_results(tracks, wanted.every, listener)
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
        return f"{whole:,} of {len(rows):,} tracks pass; caps, shares or lengths allow no more"
    name = max(without, key=lambda one: without[one])
    unknown = int(told[name][1][rows].sum())
    return f"{name}: {whole:,} tracks pass, and {without[name]:,} would pass without it" + (
        f"; it is unknown for {unknown:,} of {len(rows):,} tracks" if unknown else ""
    )
