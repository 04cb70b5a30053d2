"""Plots of an evaluation: a metric over k, one number against another, and a metric by slice of users."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trackpools.shell.reports.plots import ACCENT, COLOURS, INK, plain, styled

Interval = tuple[float, float, float]  # mean, low, high


def curves(found: Mapping[str, Sequence[tuple[int, Interval]]], ylabel: str) -> Figure:
    """Draw a metric over k, with one line for each engine and a band for the interval of the mean.

    Args:
        found: Engine → pairs (k, interval), in ascending order of k.
        ylabel: Label of the axis of the metric.
    """

    def draw(axes: Axes) -> None:
        for place, (name, points) in enumerate(found.items()):
            colour = COLOURS[place % len(COLOURS)]
            ks = [k for k, _ in points]
            axes.plot(
                ks,
                [mean for _, (mean, *_) in points],
                label=plain(name),
                color=colour,
                marker="o",
                markersize=3,
            )
            axes.fill_between(
                ks,
                [low for _, (_, low, _) in points],
                [high for _, (*_, high) in points],
                color=colour,
                alpha=0.15,
            )
        axes.set_xscale("log")
        ks = sorted({k for points in found.values() for k, _ in points})
        axes.set_xticks(ks, [str(k) for k in ks], minor=False)
        axes.minorticks_off()
        axes.set(xlabel="k", ylabel=ylabel, ylim=(0, None))
        axes.legend(fontsize=8, frameon=False)

    return styled(draw)


def trade(found: Mapping[str, tuple[float, float]], xlabel: str, ylabel: str) -> Figure:
    """Draw one labelled dot for each engine; `found` is engine → (x, y)."""

    def draw(axes: Axes) -> None:
        for place, (name, (x, y)) in enumerate(found.items()):
            axes.scatter([x], [y], color=COLOURS[place % len(COLOURS)], zorder=3)
            axes.annotate(
                plain(name), (x, y), textcoords="offset points", xytext=(6, 4), fontsize=8, color=INK
            )
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.margins(0.2)

    return styled(draw)


def by_slice(found: Mapping[str, Interval], xlabel: str, whole: float) -> Figure:
    """Draw the mean of a metric and its interval for each slice of users, the first slice on top.

    Args:
        found: Slice → interval.
        xlabel: Label of the axis of the metric.
        whole: The mean over all users, drawn as a dotted line.
    """

    def draw(axes: Axes) -> None:
        places = range(len(found))
        axes.axvline(whole, color=INK, linewidth=1, linestyle=":")
        for place, (mean, low, high) in zip(places, found.values(), strict=True):
            axes.plot([low, high], [place, place], color=ACCENT, linewidth=2)
            axes.plot([mean], [place], color=ACCENT, marker="o", markersize=5)
        axes.set_yticks(places, [plain(name) for name in found], fontsize=8)
        axes.invert_yaxis()
        axes.set(xlabel=xlabel)

    return styled(draw, (6.4, max(2.4, 0.22 * len(found) + 1)))
