"""Build the HTML page of an evaluation.

The page compares the engines and the blend. It shows how accuracy trades off against diversity and
popularity, and results in slices (groups of users). It loads no other file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from matplotlib.figure import Figure

from trackpools.core.evaluation.pool_metrics import CUTS
from trackpools.shell.measurement.pool_measures import ALL, Measure
from trackpools.shell.reports import evaluation_plots, plots
from trackpools.shell.reports.html_page import CaptionedFigure, Page, PageSection, PageTable, render


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        cut: End of the training data.
        end: End of the test data.
        counts: Name of a count, such as `test_rows` or `cold_users` → its value, see `holdout.Split.counts`.
        pools: All measures of the pools as the flow built them.
        engines: Name of the engine → `metrics` (measures named recall@k and ndcg@k), `lists` (trait → value),
            and `blend_gains` (the gains of the blend over the engine, as measures).
    """

    cut: datetime
    end: datetime
    counts: Mapping[str, int]
    pools: Sequence[Measure]
    engines: Mapping[str, Any]


def page(found: Evaluation) -> str:
    """Return the page of an evaluation as HTML; every text in it is escaped, and it has no links."""
    figures = [
        CaptionedFigure(title, reading, figure)
        for title, reading, figure in (*_of_engines(found.engines), *_of_pools(found.pools))
    ]
    rows = [
        (one.metric, one.slice, _shown(one.value), _shown(one.low), _shown(one.high), one.users)
        for one in found.pools
    ]
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in found.counts.items())
    title = (
        f"Trained until {found.cut:%Y-%m-%d}, tested until {found.end:%Y-%m-%d}"
        if found.end > found.cut
        else "Held out at random"
    )
    pools = PageTable(["metric", "slice", "mean", "low", "high", "users"], rows)
    sections = [
        PageSection(figures=figures),
        PageSection("Engines", table=_engines(found.engines)),
        PageSection("Measures of the pools", table=pools),
    ]
    return render(Page(title, title, told, sections))


def _shown(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _engines(engines: Mapping[str, Any]) -> PageTable:
    """Return a table with every metric of every engine, and the gain of the blend over the engine."""
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
    return PageTable(["engine", "metric", "mean", "low", "high", "gain of the blend", "p (Holm)"], rows)


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
                "Of the recordings that users later heard for the first time, the share in the first k of the list. Bands are 95 % intervals of the mean.",
                evaluation_plots.curves(lines, "recall of new recordings"),
            )
        )
    for trait, reading in (
        ("diversity", "Engines further up are more accurate, those further right give more varied lists."),
        (
            "popularity_lift",
            "Engines further up are more accurate, those further left recommend less popular recordings.",
        ),
    ):
        dots = {name: (engines[name]["lists"].get(trait), points[-1][1][0]) for name, points in lines.items()}
        dots = {name: (x, y) for name, (x, y) in dots.items() if x is not None}
        if dots:
            name = trait.replace("_", " ")
            told.append(
                (
                    f"Accuracy against {name}",
                    reading,
                    evaluation_plots.trade(dots, name, "recall at the end of the list"),
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
                    f"Recall of recordings that were {word}, by slice of users, with 95 % intervals; the dotted line is the recall of all users.",
                    evaluation_plots.by_slice(parts, f"recall@{max(CUTS)}", whole[-1]),
                )
            )
    for how, word in (("by", "proposed by"), ("only_by", "proposed only by")):
        bars = {
            one.metric.partition(":")[2]: one.value
            for one in pools
            if f"_recall_{how}:" in one.metric and one.value
        }
        if bars:
            reading = f"Of the recordings that were later heard for the first time, the share that is in the pool and was {word} the source."
            told.append(
                (
                    f"Recall {how.replace('_', ' ')} source",
                    reading,
                    plots.shares(dict(sorted(bars.items(), key=lambda item: -item[1])), "recall"),
                )
            )
    return told
