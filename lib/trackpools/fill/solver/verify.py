"""Verify a finished playlist against every constraint.

A playlist is judged by its tracks alone. It does not matter whether rules or a model chose them.
"""

from collections.abc import Mapping

import numpy as np

from trackpools.core.arrays.array_types import Float64Array, Int64Array
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.contract.messages import ConstraintResult
from trackpools.fill.solver.catalogue import Listener, Tracks, filter_results, rows_passing
from trackpools.fill.solver.sequence import MIN_KNOWN_LEVELS, follows_arc, is_apart


def arc_levels(tracks: Tracks, rows: Int64Array) -> Float64Array:
    """Return the levels that an arc follows: the energy of all rows, or the tempo of all rows.

    The tempo is taken if it is known for more rows than the energy.

    Returns:
        float64 [len(rows)]; NaN if unknown.
    """
    energy, tempo = (tracks.number[name][rows] for name in ("energy", "tempo"))
    return energy if np.isnan(energy).sum() <= np.isnan(tempo).sum() else tempo


def verify_constraints(
    tracks: Tracks, rows: Int64Array, wanted: Constraints, listener: Listener, seeds: Mapping[str, int | None]
) -> list[ConstraintResult]:
    """Judge every constraint that was asked for, in the order of the fields of `Constraints`.

    An empty playlist satisfies no condition of `wanted.every`.

    Args:
        tracks: the catalogue of the user's market.
        rows: int64, rows of the playlist in its order.
        wanted: the constraints.
        listener: the user's data that filters need.
        seeds: title or track id of a seed → its row, or None if no allowed row matches.

    Returns:
        One result for each constraint: what was wanted, what the playlist has, and whether the constraint is
        satisfied. Each condition of `wanted.every`, each part and each seed counts as a constraint.
    """
    told = [*_amount(tracks, rows, wanted), *_every(tracks, rows, wanted.every, listener)]
    inside = [rows_passing(tracks, part.of, listener)[rows] for part in wanted.parts]
    for place, (part, of_it) in enumerate(zip(wanted.parts, inside, strict=True)):
        share = float(of_it.mean()) if len(rows) else 0.0
        told.append(
            ConstraintResult(
                name=f"part {place + 1}",
                wanted=f"at least {part.share:.0%} {describe_filter(part.of)}",
                got=f"{share:.0%}",
                met=share >= part.share - 1e-9,
            )
        )
    if wanted.closed:
        any_of = np.logical_or.reduce([np.zeros(len(rows), bool), *inside])
        count = int(any_of.sum())
        told.append(
            ConstraintResult(
                name="parts",
                wanted="every track in one of the parts",
                got=f"{count} of {len(rows)}",
                met=count == len(rows) > 0,
            )
        )
    told += _seeds(tracks, rows, wanted, listener, seeds)
    for name, column in (("artist_cap", tracks.artist), ("album_cap", tracks.album)):
        if (cap := getattr(wanted, name)) is not None:
            most = int(np.unique(column[rows], return_counts=True)[1].max(initial=0))
            told.append(ConstraintResult(name=name, wanted=f"at most {cap}", got=str(most), met=most <= cap))
    if wanted.apart:
        beside = int((tracks.artist[rows][1:] == tracks.artist[rows][:-1]).sum())
        told.append(
            ConstraintResult(
                name="apart",
                wanted="no artist twice in a row",
                got=f"{beside} times",
                met=is_apart(tracks.artist[rows]),
            )
        )
    if wanted.arc is not None:
        known = int((~np.isnan(arc_levels(tracks, rows))).sum())
        met = follows_arc(arc_levels(tracks, rows), wanted.arc)
        got = wanted.arc if met else "another" if known >= MIN_KNOWN_LEVELS else "unknown"
        told.append(
            ConstraintResult(
                name="arc",
                wanted=wanted.arc,
                got=got + (f", by {known} of {len(rows)} tracks" if known < len(rows) else ""),
                met=met,
            )
        )
    return told


def _amount(tracks: Tracks, rows: Int64Array, wanted: Constraints) -> list[ConstraintResult]:
    told = []
    if wanted.tracks is not None:
        told.append(
            ConstraintResult(
                name="tracks", wanted=str(wanted.tracks), got=str(len(rows)), met=len(rows) == wanted.tracks
            )
        )
    if wanted.seconds is not None:
        low, high = wanted.span
        lengths = tracks.number["seconds"][rows]
        total, unknown = float(np.nansum(lengths)), int(np.isnan(lengths).sum())
        got = clock(total) + (f" and {unknown} of unknown length" if unknown else "")
        told.append(
            ConstraintResult(
                name="seconds",
                wanted=f"{clock(low)} to {clock(high)}",
                got=got,
                met=not unknown and low - 1e-6 <= total <= high + 1e-6,
            )
        )
    return told


def _every(tracks: Tracks, rows: Int64Array, every: Filter, listener: Listener) -> list[ConstraintResult]:
    told = []
    for name, (passes, unknown) in filter_results(tracks, every, listener).items():
        count, of = int(passes[rows].sum()), len(rows)
        without = int(unknown[rows].sum())
        got = f"{count} of {of}" + (f", {without} unknown" if without else "")
        told.append(
            ConstraintResult(
                name=name,
                wanted=describe_filter(Filter(**{name: getattr(every, name)})),
                got=got,
                met=count == of > 0,
            )
        )
    return told


def _seeds(
    tracks: Tracks, rows: Int64Array, wanted: Constraints, listener: Listener, seeds: Mapping[str, int | None]
) -> list[ConstraintResult]:
    told, passes = [], rows_passing(tracks, wanted.every, listener) if seeds else np.empty(0, bool)
    for title, row in seeds.items():
        there = row is not None and row in rows
        got = (
            "in it"
            if there
            else "not available"
            if row is None
            else "left out"
            if passes[row]
            else "does not satisfy what every track must be"
        )
        told.append(ConstraintResult(name="seed", wanted=title, got=got, met=there))
    return told


def clock(seconds: float) -> str:
    """Format seconds as h:mm:ss, or as m:ss below one hour."""
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
