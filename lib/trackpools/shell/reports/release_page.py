"""Build the report of a release: an HTML page of plots and tables that loads no other file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from trackpools.core.evaluation.drift import DRIFT_PSI, WATCH_PSI
from trackpools.shell.reports import plots
from trackpools.shell.reports.html_page import CaptionedFigure, Page, PageSection, PageTable, render
from trackpools.shell.reports.release_data import ReportData


def _tiles(data: ReportData) -> dict[str, str]:
    full = sum(users for size, users in data.pool_sizes if size >= data.k)
    shown = {
        "users with a pool": f"{data.users:,}",
        "recordings with plays or other interactions": f"{data.catalogue:,}",
        f"full pools (K = {data.k:,})": f"{full / data.users:.1%}" if data.users else "–",
        "of these recordings are in some pool": f"{data.coverage:.1%}",
    }
    return shown | {f"rows {name}": f"{rows:,}" for name, rows in data.accounting.items()}


def _largest(values: Mapping[str, Mapping[str, float]]) -> float:
    return max((share for row in values.values() for share in row.values()), default=0.0) or 1.0


@dataclass(frozen=True)
class Panel:
    """A plot of the page.

    Attributes:
        section: Heading of the part of the page to which the plot belongs.
        title: Title of the plot.
        reading: One or two sentences on how to read the plot.
        draw: Draws the plot; returns None if the release has no such numbers.
    """

    section: str
    title: str
    reading: str
    draw: Callable[[ReportData], Figure | None]


PANELS = (
    Panel(
        "Pools",
        "Pool fill",
        "One bar for each range of sizes. Blue pools are full; orange ones are short, and the next plot shows why.",
        lambda d: plots.pool_fill(d.pool_sizes, d.k) if d.pool_sizes else None,
    ),
    Panel(
        "Pools",
        "Shortfalls by rule",
        "Users whose pool is not full, by the rule that limited it.",
        lambda d: plots.counts(d.shortfalls, "users") if d.shortfalls else None,
    ),
    Panel(
        "Pools",
        "Drops by rule",
        "Each removed candidate counts once, under the first rule that removed it. below_cut counts those for which a full pool had no place; this is normal.",
        lambda d: plots.counts(d.drops, "candidates removed") if d.drops else None,
    ),
    Panel(
        "Pools",
        "Source mix",
        "Where candidates come from, by rank in the pool. A candidate that two sources propose counts half for each.",
        lambda d: plots.source_mix(d.source_mix) if d.source_mix else None,
    ),
    Panel(
        "Pools",
        "Scores by rank",
        "How fast the score falls. Where the line is flat, the order hardly matters; where the band is wide, users differ.",
        lambda d: plots.scores(d.scores) if d.scores else None,
    ),
    Panel(
        "Pools",
        "What pools would lose",
        "Share of all candidates that only this source proposes. If the share is near zero, pools would hardly change without the source.",
        lambda d: plots.shares(d.composition.alone, "share of candidates") if d.composition.alone else None,
    ),
    Panel(
        "Pools",
        "Source overlap",
        "Share of the row source's candidates that the column source proposes too. Two sources near 100 % are redundant.",
        lambda d: plots.heat(d.composition.overlap, "also proposed by") if d.composition.overlap else None,
    ),
    Panel(
        "Pools",
        "Prompts that can be served",
        "Share of pools with at least 20 recordings of a decade and a kind of music. The setting pools.floor can raise these shares.",
        lambda d: plots.heat(d.composition.served, "kind of music") if d.composition.served else None,
    ),
    Panel(
        "Pools",
        "Artist concentration",
        "Share of a pool that its n most frequent artists have. The setting rules.artist_cap limits the share of the most frequent one (left end).",
        lambda d: (
            plots.scores(d.composition.artists, "most frequent artists", "share of the pool")
            if d.composition.artists
            else None
        ),
    ),
    Panel(
        "Pools",
        "Popularity of pools against what users hear",
        "One dot for each group of users; a larger dot is a larger group. Above the line, pools are more popular than what the group hears.",
        lambda d: plots.against(d.composition.popularity) if d.composition.popularity else None,
    ),
    Panel(
        "Catalogue and reach",
        "Long tail of plays",
        "If the curve bends far to the upper left, few recordings have most of the plays. On the dotted line, all recordings have equally many plays.",
        lambda d: plots.long_tail(d.long_tail) if d.long_tail else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by market",
        "Share of recordings that are in some pool of the market. A market with a low bar has few users or few rights.",
        lambda d: plots.coverage(d.coverage_by_market, "market") if d.coverage_by_market else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by activity",
        "From the least active tenth of users (1) to the most active (10). If the bars fall to the right, active users get more of the same recordings.",
        lambda d: plots.coverage(d.coverage_by_decile, "activity decile") if d.coverage_by_decile else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by activity and source",
        "Share of recordings that the pools of an activity decile get from a source; if several sources propose a recording, it counts for each. "
        "A source with an empty column reaches no user.",
        lambda d: (
            plots.heat(
                d.reach.by_source,
                "recordings by source",
                _largest(d.reach.by_source),
                "activity decile",
            )
            if d.reach.by_source
            else None
        ),
    ),
    Panel(
        "Catalogue and reach",
        "Lorenz curve of exposure",
        "On the dotted line, all recordings are in equally many pools (Gini 0). "
        "The deeper the curve sags, the fewer recordings fill the pools (Gini towards 1).",
        lambda d: plots.lorenz(d.reach.lorenz, d.reach.gini) if d.reach.lorenz else None,
    ),
    Panel(
        "Catalogue and reach",
        "Drift since the last release",
        "How much distributions differ from those of the release before. Above 0.1, look for the reason; above 0.25, much has changed (Siddiqi 2006). "
        "Chance alone goes beyond the tick one time in twenty, so a bar that ends before its tick may be chance.",
        lambda d: (
            plots.drift(
                d.drift.psi,
                d.drift.chance,
                WATCH_PSI,
                DRIFT_PSI,
                f"population stability index\nagainst {plots.plain(d.drift.since, 40)}",
            )
            if d.drift.psi
            else None
        ),
    ),
    Panel(
        "This run",
        "Training loss",
        "The training objective after each iteration. If it still falls at the end, more iterations would help.",
        lambda d: plots.loss_curve(d.loss) if d.loss else None,
    ),
    Panel(
        "This run",
        "Seconds by stage",
        "Wall time of each stage of this run.",
        lambda d: (
            plots.stage_seconds({stage.name: stage.seconds for stage in d.stages}) if d.stages else None
        ),
    ),
    Panel(
        "This run",
        "Rejected rows by reason",
        "A row with two reasons counts under both; the rows themselves are in plays_rejected.",
        lambda d: plots.counts(d.rejected, "rows") if d.rejected else None,
    ),
)


def _figures(data: ReportData) -> list[PageSection]:
    drawn: dict[str, list[CaptionedFigure]] = {}
    for panel in PANELS:
        figure = panel.draw(data)
        if figure is not None:
            drawn.setdefault(panel.section, []).append(CaptionedFigure(panel.title, panel.reading, figure))
    return [PageSection(title, figures) for title, figures in drawn.items()]


def _tables(data: ReportData) -> list[PageSection]:
    rows = [(s.name, s.rows, float(s.seconds), s.core_seconds, s.bytes) for s in data.stages]
    stages = PageTable(["stage", "rows", "seconds", "core-seconds", "bytes"], rows)
    pinned = PageTable(["table", "version", "rows", "content hash"], data.tables)
    return [
        PageSection(title, table=table)
        for title, table in (("Stages", stages), ("Pinned tables", pinned))
        if table.rows
    ]


def build_report(data: ReportData) -> str:
    """Return the page of a release as HTML; every text in it is escaped, and it has no links."""
    of = {"coverage and exposure": data.exposed_users, "mix, scores and groups": data.sampled_users}
    told = [f"{what} measured on about {users:,} users" for what, users in of.items() if users < data.users]
    sample = "".join(f" · {one}" for one in told)
    about = f"as of {data.as_of} · model {data.model_version or 'none'}{sample}"
    sections = [*_figures(data), *_tables(data)]
    heading = f"Release {data.release_id}"
    return render(Page(f"trackpools {data.release_id}", heading, about, sections, _tiles(data)))
