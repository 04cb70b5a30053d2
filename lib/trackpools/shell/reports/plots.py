"""Plots of the reports and the notebook.

Each function takes small aggregates and returns a figure. `pyplot` is not used, so nothing global changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INK, GRID, ACCENT, SOFT = "#2b2b33", "#c9c9d1", "#2f6fde", "#9dbdf2"
# The palette of Okabe and Ito, which colour-blind readers can distinguish, and some more colours for ten
# sources.
COLOURS = (
    "#2f6fde",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#f0e442",
    "#8c8c98",
    "#5b3a8e",
    "#7a4a2b",
)
STYLE = {
    "text.parse_math": False,  # labels are untrusted text, so a $ must not start a formula
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "trackpools",
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.7,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 6,  # otherwise the two zeros of a corner overlap
}
SIZE = (6.4, 3.2)


def plain(text: object, length: int = 28) -> str:
    """Turn untrusted text into a label: one line, with unprintable characters replaced, cut at `length`."""
    shown = "".join(c if c.isprintable() else "�" for c in str(text))
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def styled(draw: Callable[[Axes], None], size: tuple[float, float] = SIZE) -> Figure:
    """Return a figure in our `STYLE`, whose only axes `draw` fills; `size` is in inches."""
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        return figure


def _percent(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _shares(axes: Axes, xlabel: str, ylabel: str, *, top: float) -> None:
    """Make both axes shares from 0 to 1 (the y axis up to `top`), and draw the diagonal, where both are equal."""
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, 1), ylim=(0, top))
    _percent(axes.xaxis)
    _percent(axes.yaxis)


def _thousands(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def _bars(
    axes: Axes, values: Mapping[str, float], colour: str | list[str] = ACCENT, form: str = "{:,.0f}"
) -> None:
    """Draw horizontal bars, the first on top, each labelled with its number."""
    names = [plain(name) for name in values]
    drawn = axes.barh(range(len(names)), list(values.values()), color=colour, height=0.7)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.bar_label(drawn, [form.format(value) for value in values.values()], padding=4, color=INK, fontsize=9)
    axes.set_xlim(0, 1.15 * max(values.values(), default=0) or 1)


def long_tail(curve: Sequence[tuple[float, float]]) -> Figure:
    """Draw the share of plays over the share of recordings, from (0, 0) to (1, 1), most played first."""

    def draw(axes: Axes) -> None:
        x, y = [point[0] for point in curve], [point[1] for point in curve]
        axes.plot(x, y, color=ACCENT, linewidth=2)
        axes.fill_between(x, y, color=ACCENT, alpha=0.12)
        _shares(axes, "share of recordings, most played first", "share of plays", top=1.02)

    return styled(draw)


def lorenz(curve: Sequence[tuple[float, float]], gini: float) -> Figure:
    """Draw the share of places in pools over the share of recordings, the least exposed recordings first."""

    def draw(axes: Axes) -> None:
        x, y = [point[0] for point in curve], [point[1] for point in curve]
        _shares(axes, "share of recordings, least exposed first", "share of places in pools", top=1.02)
        axes.plot(x, y, color=ACCENT, linewidth=2)
        axes.fill_between(x, x, y, color=ACCENT, alpha=0.12)
        axes.text(0.04, 0.9, f"Gini {gini:.2f}", color=INK, fontsize=12, fontweight="bold")

    return styled(draw)


def drift(
    index: Mapping[str, float], chance: Mapping[str, float], watch: float, drifted: float, xlabel: str
) -> Figure:
    """Draw population stability indexes as bars, with lines at two thresholds.

    Args:
        index: Name of a distribution → population stability index.
        chance: Name of a distribution → the index that chance alone can reach, drawn as a tick.
        watch: The lower threshold.
        drifted: The upper threshold.
        xlabel: Label of the axis.
    """

    def draw(axes: Axes) -> None:
        colours = [
            COLOURS[4] if value > drifted else COLOURS[1] if value > watch else ACCENT
            for value in index.values()
        ]
        _bars(axes, index, colours, "{:.2f}")
        axes.scatter(
            [chance[name] for name in index],
            range(len(index)),
            marker="|",
            s=500,
            color=INK,
            linewidth=1.5,
            label="by chance",
            zorder=3,
        )
        for at, line, name in ((watch, ":", "watch"), (drifted, "--", "drifted")):
            axes.axvline(at, color=INK, linewidth=1, linestyle=line, label=f"{name} ({at:g})")
        axes.set(xlabel=xlabel, xlim=(0, 1.15 * max(*index.values(), *chance.values(), drifted)))
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, markerscale=0.5)

    return styled(draw, (SIZE[0], 0.45 * len(index) + 1.5))


def pool_fill(sizes: Sequence[tuple[int, int]], k: int) -> Figure:
    """Draw the number of users by pool size; `sizes` has pairs (smallest size of the bin, users)."""

    def draw(axes: Axes) -> None:
        width = max(k / 20, 1)
        colours = [ACCENT if size >= k else COLOURS[1] for size, _ in sizes]
        axes.bar(
            [size for size, _ in sizes],
            [users for _, users in sizes],
            width=0.9 * width,
            align="edge",
            color=colours,
        )
        axes.set(xlabel=f"candidates in the pool (full at {k})", ylabel="users", xlim=(0, k + width))
        _thousands(axes.yaxis)
        axes.grid(visible=False, axis="x")

    return styled(draw)


def counts(values: Mapping[str, float], xlabel: str) -> Figure:
    """Draw counts by name as bars; only the 20 largest are drawn, the largest first."""
    shown = dict(sorted(values.items(), key=lambda item: (-item[1], item[0]))[:20])

    def draw(axes: Axes) -> None:
        _bars(axes, shown)
        axes.set(xlabel=xlabel)
        _thousands(axes.xaxis)

    return styled(draw, (SIZE[0], max(1.4, 0.36 * len(shown) + 0.8)))


def source_mix(mix: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw the share of each source by rank band; `mix` is rank band → source → share of candidates."""

    def draw(axes: Axes) -> None:
        names = sorted({name for shares in mix.values() for name in shares})
        left = [0.0] * len(mix)
        for number, name in enumerate(names):
            share = [shares.get(name, 0.0) for shares in mix.values()]
            axes.barh(
                range(len(mix)),
                share,
                left=left,
                height=0.7,
                color=COLOURS[number % len(COLOURS)],
                label=plain(name),
            )
            left = [before + more for before, more in zip(left, share, strict=True)]
        axes.set_yticks(range(len(mix)), [f"rank {band}" for band in mix])
        axes.invert_yaxis()
        axes.set(xlabel="share of candidates", xlim=(0, 1))
        axes.grid(visible=False, axis="y")
        _percent(axes.xaxis)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(names), 4) or 1)

    return styled(draw, (SIZE[0], 0.4 * len(mix) + 2.2))


def shares(values: Mapping[str, float], xlabel: str) -> Figure:
    """Draw shares by name as bars, in the given order."""

    def draw(axes: Axes) -> None:
        _bars(axes, values, form="{:.1%}")
        axes.set(xlabel=xlabel)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.1%}")

    return styled(draw, (SIZE[0], max(1.4, 0.36 * len(values) + 0.8)))


def _cell(percent: float) -> str:
    return (
        f"{percent:.0f}"
        if percent >= 10 or not percent
        else f"{percent:.1g}"
        if percent < 1
        else f"{percent:.1f}"
    )


def heat(
    values: Mapping[str, Mapping[str, float]], xlabel: str, most: float = 1.0, ylabel: str = ""
) -> Figure:
    """Draw a heat map of shares, with each share written in its cell.

    Args:
        values: Row → column → share; all rows must have the same columns.
        xlabel: Label of the columns.
        most: The share with the strongest colour.
        ylabel: Label of the rows.
    """
    columns = list(next(iter(values.values())))

    def draw(axes: Axes) -> None:
        cells = [[row[name] for name in columns] for row in values.values()]
        # pcolormesh is used instead of imshow, which would put a bitmap into the page.
        axes.pcolormesh(
            cells, cmap=LinearSegmentedColormap.from_list("", ["#2f6fde10", "#2f6fdeff"]), vmin=0, vmax=most
        )
        axes.invert_yaxis()
        for i, row in enumerate(cells):
            for j, value in enumerate(row):
                axes.text(
                    j + 0.5,
                    i + 0.5,
                    _cell(100 * value),
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if value > 0.6 * most else INK,
                )
        axes.set_xticks(
            [j + 0.5 for j in range(len(columns))],
            [plain(name, 16) for name in columns],
            rotation=45,
            ha="right",
            fontsize=8,
        )
        axes.set_yticks(
            [i + 0.5 for i in range(len(values))], [plain(name, 16) for name in values], fontsize=8
        )
        axes.set(xlabel=f"{xlabel}, %", ylabel=ylabel)
        axes.grid(visible=False)

    return styled(draw, (SIZE[0], max(2.4, 0.3 * len(values) + 1.4)))


def against(groups: Sequence[tuple[float, float, int]]) -> Figure:
    """Draw the popularity of pools over the popularity of the recordings that their users hear.

    `groups` has triples (popularity of what users hear, popularity of their pools, number of users); the area
    of a dot grows with the number of users.
    """

    def draw(axes: Axes) -> None:
        most = max(users for *_, users in groups)
        _shares(axes, "mean popularity of what users hear", "mean popularity of the pool", top=1)
        axes.scatter(
            [own for own, *_ in groups],
            [pool for _, pool, _ in groups],
            s=[8 + 240 * users / most for *_, users in groups],
            color=ACCENT,
            alpha=0.6,
        )

    return styled(draw)


def scores(
    quantiles: Sequence[tuple[int, float, float, float]],
    xlabel: str = "rank in the pool",
    ylabel: str = "score",
) -> Figure:
    """Draw a median over users and the middle 80 %; `quantiles` has rows (rank, 10 %, 50 %, 90 %)."""

    def draw(axes: Axes) -> None:
        ranks = [row[0] for row in quantiles]
        axes.fill_between(
            ranks,
            [row[1] for row in quantiles],
            [row[3] for row in quantiles],
            color=SOFT,
            alpha=0.45,
            label="middle 80 % of users",
        )
        axes.plot(
            ranks,
            [row[2] for row in quantiles],
            color=ACCENT,
            linewidth=2,
            marker="o",
            markersize=3,
            label="median",
        )
        axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend()

    return styled(draw)


def coverage(shares: Mapping[str, float], ylabel: str) -> Figure:
    """Draw for each group of users which share of recordings is in at least one of the group's pools."""

    def draw(axes: Axes) -> None:
        names = [plain(name, 12) for name in shares]
        drawn = axes.bar(range(len(names)), list(shares.values()), color=ACCENT, width=0.7)
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 12 else 0)
        axes.set(
            xlabel=ylabel, ylabel="share of the catalogue", ylim=(0, max([*shares.values(), 0.01]) * 1.18)
        )
        axes.bar_label(drawn, [f"{value:.0%}" for value in shares.values()], padding=2, color=INK, fontsize=8)
        axes.grid(visible=False, axis="x")
        _percent(axes.yaxis)

    return styled(draw)


def loss_curve(losses: Sequence[float]) -> Figure:
    """Draw the training objective by iteration."""

    def draw(axes: Axes) -> None:
        axes.plot(range(1, len(losses) + 1), losses, color=ACCENT, linewidth=2, marker="o", markersize=4)
        axes.set(xlabel="iteration", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return styled(draw)


def stage_seconds(seconds: Mapping[str, float]) -> Figure:
    """Draw the wall-clock seconds by stage, in the order of the flow."""

    def draw(axes: Axes) -> None:
        _bars(axes, seconds, form="{:.1f} s")
        axes.set(xlabel="seconds")

    return styled(draw, (SIZE[0], max(1.4, 0.36 * len(seconds) + 0.8)))
