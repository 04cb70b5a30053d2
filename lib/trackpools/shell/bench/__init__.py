"""Claims of speed, measured: ours against a peer in one process, interleaved, several rounds, reported as ratios.

A ratio says nothing about another machine's seconds and much about another machine's order, so claims are ratios; the seconds and rates
they come from are figures beside them.
"""

import os
import platform
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.shell.command import Answer, Options, telling


@dataclass
class Ratio:
    """A claim: how many times one thing is another, and what it should be.

    Attributes:
        goal: what the median must reach.
        at_most: whether the goal is a ceiling, not a floor.
        values: one a round.
    """

    name: str
    goal: float
    at_most: bool = False
    values: list[float] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        median = statistics.median(self.values)
        holds = median <= self.goal if self.at_most else median >= self.goal
        rounded = {
            name: round(value, 3)
            for name, value in (("min", min(self.values)), ("median", median), ("max", max(self.values)))
        }
        return rounded | {"goal": f"{'≤' if self.at_most else '≥'} {self.goal}", "holds": holds}


@dataclass
class Measured:
    """What a benchmark found."""

    ratios: list[Ratio]
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, name: str, value: float) -> float:
        """Keep a figure of this round."""
        self.figures.setdefault(name, []).append(value)
        return value


@dataclass(frozen=True)
class Size:
    """How large a benchmark is: its own size, that of `--quick`, or what was asked for.

    Attributes:
        quick: whether the small size is meant.
        users, recordings: instead of the benchmark's own.
    """

    quick: bool = False
    users: int | None = None
    recordings: int | None = None

    def of(self, full: tuple[int, int], small: tuple[int, int]) -> tuple[int, int]:
        """Users and recordings."""
        users, recordings = small if self.quick else full
        return self.users or users, self.recordings or recordings


Benchmark = Callable[[Config, Size, int, Callable[[str], None]], Measured]


def benchmarks() -> dict[str, Benchmark]:
    """Name → benchmark; imported late, for they load heavy libraries."""
    from trackpools.shell.bench import (
        ann,
        blend,
        facets,
        flow,
        foldin,
        measure,
        on_demand,
        quality,
        refresh,
        sample,
        scale,
        shilling,
        topk,
        train,
    )

    modules = (
        train,
        topk,
        ann,
        blend,
        foldin,
        flow,
        scale,
        sample,
        shilling,
        quality,
        facets,
        on_demand,
        measure,
        refresh,
    )
    return {module.__name__.rpartition(".")[2]: module.measure for module in modules}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    versions = {name: metadata.version(name) for name in ("pyspark", "numpy", "numba", "implicit")}
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    } | versions


def bench(config: Config, options: Options, name: str, size: Size, rounds: int) -> Answer:
    """Run one benchmark; one line a ratio.

    Raises:
        ConfigError: where there is no such benchmark.
    """
    from rich.table import Table

    known = benchmarks()
    if name not in known:
        raise ConfigError(f"no benchmark is named {name!r}; there are {', '.join(known)}")
    before = machine()
    with telling(options, rounds + 1) as tell:
        measured = known[name](config, size, rounds, tell)
    ratios = {ratio.name: ratio.told() for ratio in measured.ratios}
    figures = {key: round(statistics.median(values), 3) for key, values in measured.figures.items()}
    table = Table(
        title=f"bench {name}: {rounds} rounds on {before['cores']} cores, load {before['load']} at the start"
    )
    for heading in ("ratio", "min", "median", "max", "goal", "holds"):
        table.add_column(heading)
    for key, told in ratios.items():
        table.add_row(
            key,
            *(str(told[part]) for part in ("min", "median", "max", "goal")),
            "yes" if told["holds"] else "no",
        )
    return Answer(
        lines=[table, *(f"{key}: {value:,}" for key, value in figures.items())],
        more={"ratios": ratios, "figures": figures, "machine": before},
    )
