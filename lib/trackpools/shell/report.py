"""report.html: what a release holds, as one page that needs nothing from outside itself."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from trackpools.core.drift import DRIFTED, WATCH
from trackpools.shell import plots
from trackpools.shell.report_data import ReportData

CSS = """
:root { color-scheme: light dark; --ink: #2b2b33; --soft: #66666f; --page: #f5f5f7; --card: #fff; --line: #dcdce2; --accent: #2f6fde; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8ee; --soft: #a2a2ae; --page: #17171b; --card: #212127; --line: #3b3b44; --accent: #7aa8f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 19px; margin: 40px 0 12px; } h3 { font-size: 15px; margin: 0 0 4px; }
.sub { color: var(--soft); margin: 4px 0 20px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
figure, .table, .tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 16px; }
.tile b { display: block; font-size: 22px; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; padding: 16px; } figcaption { color: var(--soft); font-size: 13px; margin-top: 8px; }
svg { width: 100%; height: auto; display: block; color: var(--ink); } svg text { font-family: inherit !important; }
.table { overflow-x: auto; padding: 4px 16px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); white-space: nowrap; } tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; } th { color: var(--soft); font-weight: 600; } code { font-size: 12px; }
"""


def inline_svg(figure: Figure, label: str) -> str:
    """A figure as an <svg> element of an HTML page: no prolog, no metadata, no namespace links; its ink and lines follow the page's."""
    with mpl.rc_context(plots.STYLE), io.StringIO() as out:  # type: ignore[arg-type]
        figure.savefig(
            out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    # ids repeat between figures; matplotlib refers to them by # only
    prefix = re.sub(r"\W+", "-", label.lower())
    rest = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", rest)
    return f'{head} role="img" aria-label="{escape(label)}">' + rest.replace(
        plots.INK, "currentColor"
    ).replace(plots.GRID, "var(--line)")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float | None) for row in rows)
        for i in range(len(columns))
    ]

    def cell(value: Any, number: bool, tag: str) -> str:
        shown = (
            "–"
            if value is None
            else f"{value:,.1f}"
            if isinstance(value, float)
            else f"{value:,}"
            if isinstance(value, int)
            else str(value)
        )
        return f"<{tag}{' class=n' if number else ''}>{escape(shown)}</{tag}>"

    lines = ["".join(cell(name, number, "th") for name, number in zip(columns, numeric, strict=True))]
    lines += [
        "".join(cell(value, number, "td") for value, number in zip(row, numeric, strict=True)) for row in rows
    ]
    return '<div class="table"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"


def _tiles(data: ReportData) -> str:
    full = sum(users for size, users in data.pool_sizes if size >= data.k)
    shown = {
        "users with a pool": f"{data.users:,}",
        "recordings in the catalogue": f"{data.catalogue:,}",
        f"full pools (K = {data.k:,})": f"{full / data.users:.1%}" if data.users else "–",
        "of the catalogue is in some pool": f"{data.coverage:.1%}",
    }
    shown |= {f"rows {name}": f"{rows:,}" for name, rows in data.accounting.items()}
    tiles = (
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in shown.items()
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _largest(values: Mapping[str, Mapping[str, float]]) -> float:
    return max((share for row in values.values() for share in row.values()), default=0.0) or 1.0


@dataclass(frozen=True)
class Panel:
    """A plot of the page: how to draw it (None where the run has no such numbers) and one sentence on how to read it."""

    section: str
    title: str
    reading: str
    draw: Callable[[ReportData], Figure | None]


PANELS = (
    Panel(
        "Pools",
        "Pool fill",
        "One bar a range of sizes. Blue pools are full; orange ones fell short, and the next plot says why.",
        lambda d: plots.pool_fill(d.pool_sizes, d.k) if d.pool_sizes else None,
    ),
    Panel(
        "Pools",
        "Shortfalls by rule",
        "Users whose pool is not full, by the rule that bound.",
        lambda d: plots.counts(d.shortfalls, "users") if d.shortfalls else None,
    ),
    Panel(
        "Pools",
        "Drops by rule",
        "Each removed candidate counts once, under the first rule that bound; below_cut is the normal end of a full pool.",
        lambda d: plots.counts(d.drops, "candidates removed") if d.drops else None,
    ),
    Panel(
        "Pools",
        "Source mix",
        "Where candidates come from, by place in the pool. One proposed by two sources counts half for each.",
        lambda d: plots.source_mix(d.source_mix) if d.source_mix else None,
    ),
    Panel(
        "Pools",
        "Scores by rank",
        "How fast the score falls. Where the line is flat, order hardly matters; in a wide band users differ.",
        lambda d: plots.scores(d.scores) if d.scores else None,
    ),
    Panel(
        "Pools",
        "What pools would lose",
        "Share of all candidates that one source alone proposes. A source near nothing could be switched off unseen.",
        lambda d: plots.shares(d.made.alone, "share of candidates") if d.made.alone else None,
    ),
    Panel(
        "Pools",
        "Source overlap",
        "Of a row's candidates, the share that the column's source proposes too. Two that say the same are one.",
        lambda d: plots.heat(d.made.overlap, "also proposed by") if d.made.overlap else None,
    ),
    Panel(
        "Pools",
        "Prompts that can be served",
        "Share of pools with at least 20 recordings of a decade and kind of music; floors (pools.floor) raise it.",
        lambda d: plots.heat(d.made.served, "kind of music") if d.made.served else None,
    ),
    Panel(
        "Pools",
        "Artist concentration",
        "Share of a pool that its n most frequent artists hold. rules.artist_cap bounds the left end.",
        lambda d: (
            plots.scores(d.made.artists, "most frequent artists", "share of the pool")
            if d.made.artists
            else None
        ),
    ),
    Panel(
        "Pools",
        "Popularity against the listener's own",
        "A dot a group of users. Above the line the pool is more popular than what they hear.",
        lambda d: plots.against(d.made.popularity) if d.made.popularity else None,
    ),
    Panel(
        "Catalogue and reach",
        "Long tail of plays",
        "The more the curve bows to the upper left, the fewer recordings hold the plays; dotted: all alike.",
        lambda d: plots.long_tail(d.long_tail) if d.long_tail else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by market",
        "Share of recordings in some pool of the market. A low bar has few users or few rights.",
        lambda d: plots.coverage(d.coverage_by_market, "market") if d.coverage_by_market else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by activity",
        "From the least (1) to the most active tenth of users (10). Falling: busy users see more of the same.",
        lambda d: plots.coverage(d.coverage_by_decile, "activity decile") if d.coverage_by_decile else None,
    ),
    Panel(
        "Catalogue and reach",
        "Coverage by activity and source",
        "Share of recordings that pools of an activity decile get from a source, those that only it proposes or not. An empty column reaches nobody.",
        lambda d: (
            plots.heat(
                d.reach.by_source,
                "recordings of the catalogue by source",
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
        "On the dotted line all recordings are in as many pools (Gini 0). The deeper the curve sags, the fewer recordings fill the pools (towards Gini 1).",
        lambda d: plots.lorenz(d.reach.lorenz, d.reach.gini) if d.reach.lorenz else None,
    ),
    Panel(
        "Catalogue and reach",
        "Drift since the last release",
        "How differently things are spread than in the release before. Above 0.1 look why; above 0.25 much has changed (Siddiqi 2006). "
        "A tick: what chance alone reaches one time in twenty; a bar short of it says nothing.",
        lambda d: (
            plots.drift(
                d.drift.psi,
                d.drift.chance,
                WATCH,
                DRIFTED,
                f"population stability index\nagainst {plots.plain(d.drift.since, 40)}",
            )
            if d.drift.psi
            else None
        ),
    ),
    Panel(
        "This run",
        "Training loss",
        "The objective after each sweep. Still falling at the end: more iterations would help.",
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


def captioned(title: str, figure: Figure, reading: str) -> str:
    """A plot of a page, with one sentence on how to read it."""
    return f"<figure><h3>{escape(title)}</h3>{inline_svg(figure, title)}<figcaption>{escape(reading)}</figcaption></figure>"


def document(title: str, heading: str, about: str, body: str) -> str:
    """A whole page; the body is HTML, all else is text and escaped here."""
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title><style>{CSS}</style>"
    page = f"<main><h1>{escape(heading)}</h1><p class=sub>{escape(about)}</p>{body}</main>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{page}</body></html>\n"


def _sections(data: ReportData) -> str:
    drawn: dict[str, list[str]] = {}
    for panel in PANELS:
        figure = panel.draw(data)
        if figure is not None:
            drawn.setdefault(panel.section, []).append(captioned(panel.title, figure, panel.reading))
    return "".join(
        f"<h2>{title}</h2><div class=grid>{''.join(figures)}</div>" for title, figures in drawn.items()
    )


def build_report(data: ReportData) -> str:
    """The page as HTML text; every text in it is escaped, and it links to nothing."""
    body = [_sections(data)]
    if data.stages:
        rows = [(s.name, s.rows, float(s.seconds), s.core_seconds, s.bytes) for s in data.stages]
        body.append("<h2>Stages</h2>" + table(["stage", "rows", "seconds", "core-seconds", "bytes"], rows))
    if data.tables:
        body.append(
            "<h2>Pinned tables</h2>" + table(["table", "version", "rows", "content hash"], data.tables)
        )
    of = {"coverage and exposure": data.exposed_users, "mix, scores and groups": data.sampled_users}
    told = [f"{what} measured on about {users:,} users" for what, users in of.items() if users < data.users]
    sample = "".join(f" · {one}" for one in told)
    about = f"as of {data.as_of} · model {data.model_version or 'none'}{sample}"
    return document(
        f"trackpools {data.release_id}", f"Release {data.release_id}", about, f"{_tiles(data)}{''.join(body)}"
    )
