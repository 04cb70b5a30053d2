"""What of the constraints a playlist holds, judged from the finished list alone: whoever made it, code or a model, is judged the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.fill.arrange import KNOWN, follows, is_apart
from trackpools.fill.constraints import Constraints, Filter
from trackpools.fill.contract import Told
from trackpools.fill.spoken import spoken
from trackpools.fill.tracks import Listener, Tracks, passing, verdicts

Array = NDArray[Any]


def level(tracks: Tracks, rows: Array) -> Array:
    """What arcs follow: energy, or tempo where more tracks have one; float64, NaN is unknown."""
    energy, tempo = (tracks.number[name][rows] for name in ("energy", "tempo"))
    return energy if np.isnan(energy).sum() <= np.isnan(tempo).sum() else tempo


def judged(
    tracks: Tracks, rows: Array, wanted: Constraints, listener: Listener, seeds: Mapping[str, int | None]
) -> list[Told]:
    """Every constraint that was asked for, in the order of its fields, and whether the list holds it. No tracks are none of what was asked for.

    Args:
        rows: of the playlist in its order.
        seeds: of each, the row that is meant; None where there is none.
    """
    told = [*_amount(tracks, rows, wanted), *_every(tracks, rows, wanted.every, listener)]
    inside = [passing(tracks, part.of, listener)[rows] for part in wanted.parts]
    for place, (part, of_it) in enumerate(zip(wanted.parts, inside, strict=True)):
        share = float(of_it.mean()) if len(rows) else 0.0
        told.append(
            Told(
                name=f"part {place + 1}",
                wanted=f"at least {part.share:.0%} {spoken(part.of)}",
                got=f"{share:.0%}",
                met=share >= part.share - 1e-9,
            )
        )
    if wanted.closed:
        any_of = np.logical_or.reduce([np.zeros(len(rows), bool), *inside])
        count = int(any_of.sum())
        told.append(
            Told(
                name="parts",
                wanted="every track of one of the parts",
                got=f"{count} of {len(rows)}",
                met=count == len(rows) > 0,
            )
        )
    told += _seeds(tracks, rows, wanted, listener, seeds)
    for name, column in (("artist_cap", tracks.artist), ("album_cap", tracks.album)):
        if (cap := getattr(wanted, name)) is not None:
            most = int(np.unique(column[rows], return_counts=True)[1].max(initial=0))
            told.append(Told(name=name, wanted=f"at most {cap}", got=str(most), met=most <= cap))
    if wanted.apart:
        beside = int((tracks.artist[rows][1:] == tracks.artist[rows][:-1]).sum())
        told.append(
            Told(
                name="apart",
                wanted="no artist twice in a row",
                got=f"{beside} times",
                met=is_apart(tracks.artist[rows]),
            )
        )
    if wanted.arc is not None:
        known = int((~np.isnan(level(tracks, rows))).sum())
        met = follows(level(tracks, rows), wanted.arc)
        got = wanted.arc if met else "another" if known >= KNOWN else "unknown"
        told.append(
            Told(
                name="arc",
                wanted=wanted.arc,
                got=got + (f", by {known} of {len(rows)} tracks" if known < len(rows) else ""),
                met=met,
            )
        )
    return told


def _amount(tracks: Tracks, rows: Array, wanted: Constraints) -> list[Told]:
    told = []
    if wanted.tracks is not None:
        told.append(
            Told(name="tracks", wanted=str(wanted.tracks), got=str(len(rows)), met=len(rows) == wanted.tracks)
        )
    if wanted.seconds is not None:
        low, high = wanted.span
        lengths = tracks.number["seconds"][rows]
        total, unknown = float(np.nansum(lengths)), int(np.isnan(lengths).sum())
        got = clock(total) + (f" and {unknown} of unknown length" if unknown else "")
        told.append(
            Told(
                name="seconds",
                wanted=f"{clock(low)} to {clock(high)}",
                got=got,
                met=not unknown and low - 1e-6 <= total <= high + 1e-6,
            )
        )
    return told


def _every(tracks: Tracks, rows: Array, every: Filter, listener: Listener) -> list[Told]:
    told = []
    for name, (passes, unknown) in verdicts(tracks, every, listener).items():
        count, of = int(passes[rows].sum()), len(rows)
        without = int(unknown[rows].sum())
        got = f"{count} of {of}" + (f", of {without} unknown" if without else "")
        told.append(
            Told(
                name=name, wanted=spoken(Filter(**{name: getattr(every, name)})), got=got, met=count == of > 0
            )
        )
    return told


def _seeds(
    tracks: Tracks, rows: Array, wanted: Constraints, listener: Listener, seeds: Mapping[str, int | None]
) -> list[Told]:
    told, passes = [], passing(tracks, wanted.every, listener) if seeds else np.empty(0, bool)
    for title, row in seeds.items():
        there = row is not None and row in rows
        got = (
            "in it"
            if there
            else "not to be had"
            if row is None
            else "left out"
            if passes[row]
            else "not what every track must be"
        )
        told.append(Told(name="seed", wanted=title, got=got, met=there))
    return told


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss or m:ss."""
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )
