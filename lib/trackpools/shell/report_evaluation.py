"""The page of an evaluation: engines and blend side by side, what accuracy costs, for whom it holds. Needs nothing from outside itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matplotlib.figure import Figure

from trackpools.core.pool_metrics import CUTS
from trackpools.shell import plots, plots_evaluation
from trackpools.shell.measuring import ALL, Measure
from trackpools.shell.report import captioned, document, table


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        cut, end: what was known until, what was asked until.
        counts: as `holdout.Split.counts`.
        pools: everything measured of the pools as they are served.
        engines: name → `metrics` (measures named recall@k, ndcg@k), `lists` (trait → value), and `blend_gains`.
    """

    cut: datetime
    end: datetime
    counts: Mapping[str, int]
    pools: Sequence[Measure]
    engines: Mapping[str, Any]


def page(found: Evaluation) -> str:
    """HTML text; every text in it is escaped, and it links to nothing."""
    parts = "".join(
        captioned(title, figure, reading)
        for title, reading, figure in (*_of_engines(found.engines), *_of_pools(found.pools))
    )
    rows = [
        (one.metric, one.slice, _shown(one.value), _shown(one.low), _shown(one.high), one.users)
        for one in found.pools
    ]
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in found.counts.items())
    title = (
        f"Learned until {found.cut:%Y-%m-%d}, asked until {found.end:%Y-%m-%d}"
        if found.end > found.cut
        else "Held out by lot"
    )
    body = f"<div class=grid>{parts}</div><h2>Engines</h2>{_engines(found.engines)}"
    body += f"<h2>Pools, measured</h2>{table(['metric', 'slice', 'mean', 'low', 'high', 'users'], rows)}"
    return document(title, title, told, body)


def _shown(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _engines(engines: Mapping[str, Any]) -> str:
    """Every metric of every engine, and what the blend has more."""
    rows = []
    for name, one in engines.items():
        gains = {gain.metric: gain for gain in one.get("blend_gains", ())}
        for m in one["metrics"]:
            gain = gains.get(m.metric)
            more = (
                ("", "")
                if gain is None or gain.value is None
                else (f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})", f"{gain.p:.3f}")
            )
            rows.append((name, m.metric, _shown(m.value), _shown(m.low), _shown(m.high), *more))
    return table(["engine", "metric", "mean", "low", "high", "the blend has more", "p (Holm)"], rows)


def _of_engines(engines: Mapping[str, Any]) -> list[tuple[str, str, Figure]]:
    told: list[tuple[str, str, Figure]] = []
    lines = {
        name: [
            (int(m.metric.split("@")[1]), (m.value, m.low, m.high))
            for m in one["metrics"]
            if m.metric.startswith("recall@") and m.value is not None
        ]
        for name, one in engines.items()
    }
    lines = {name: sorted(points) for name, points in lines.items() if points}
    if lines:
        told.append(
            (
                "Recall by depth",
                "Share of what listeners then heard for the first time that is among the first k; bands are 95 % of the mean.",
                plots_evaluation.curves(lines, "recall of new recordings"),
            )
        )
    for trait, reading in (
        ("diversity", "Up is more right, right is more varied."),
        ("popularity_lift", "Up is more right, left is less popular."),
    ):
        dots = {name: (engines[name]["lists"].get(trait), points[-1][1][0]) for name, points in lines.items()}
        dots = {name: (x, y) for name, (x, y) in dots.items() if x is not None}
        if dots:
            name = trait.replace("_", " ")
            told.append(
                (
                    f"Accuracy against {name}",
                    reading,
                    plots_evaluation.trade(dots, name, "recall at the end of the list"),
                )
            )
    return told


def _of_pools(pools: Sequence[Measure]) -> list[tuple[str, str, Figure]]:
    told: list[tuple[str, str, Figure]] = []
    for kind in ("new", "again"):
        mine = [
            one
            for one in pools
            if one.metric.startswith(f"{kind}_")
            and one.metric.endswith(f"recall@{max(CUTS)}")
            and one.value is not None
        ]
        parts = {
            one.slice: (one.value, one.low or 0.0, one.high or 0.0)
            for one in mine
            if one.slice != ALL and one.value is not None
        }
        whole = [one.value for one in mine if one.slice == ALL and one.value is not None]
        if parts and whole:
            word = "heard for the first time and chosen" if kind == "new" else "heard again"
            told.append(
                (
                    f"Recall by slice: {kind}",
                    f"Recall of what was {word}, by part of the audience, with 95 % intervals; dotted: everybody.",
                    plots_evaluation.by_slice(parts, f"recall@{max(CUTS)}", whole[-1]),
                )
            )
    for how, word in (("by", "proposed by"), ("only_by", "proposed by nobody but")):
        bars = {
            one.metric.partition(":")[2]: one.value
            for one in pools
            if f"_recall_{how}:" in one.metric and one.value
        }
        if bars:
            reading = f"Share of what was then heard for the first time that is in the pool and was {word} the source."
            told.append(
                (
                    f"Recall {how.replace('_', ' ')} source",
                    reading,
                    plots.shares(dict(sorted(bars.items(), key=lambda item: -item[1])), "recall"),
                )
            )
    return told
