"""The command `trackpools bench`: run a benchmark.

Most benchmarks run trackpools and a peer (another package or another way) in one process, in turns, for several
rounds, and report ratios of the two. Claims are ratios, because a ratio also tells which side is faster on
another machine, while seconds depend on the machine. The seconds and rates behind a ratio are reported beside
it, as figures.
"""

import os
import platform
import statistics
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.shell.bench.claims import Measured, Size
from trackpools.shell.command import CommandResult, Options, TextTable

# A benchmark is called with the merged configuration, the size, the number of rounds, and a function that
# shows one line of progress. It returns its ratios and figures.
Benchmark = Callable[[Config, Size, int, Callable[[str], None]], Measured]


def benchmarks() -> dict[str, Benchmark]:
    """Return each benchmark by its name.

    The modules are imported only here, because they load heavy libraries.
    """
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

    return {
        "train": train.measure,
        "topk": topk.measure,
        "ann": ann.measure,
        "blend": blend.measure,
        "foldin": foldin.measure,
        "flow": flow.measure,
        "scale": scale.measure,
        "sample": sample.measure,
        "shilling": shilling.measure,
        "quality": quality.measure,
        "facets": facets.measure,
        "on_demand": on_demand.measure,
        "measure": measure.measure,
        "refresh": refresh.measure,
    }


def machine() -> dict[str, Any]:
    """Describe the machine of the measurements: CPU, cores, load, and versions of Python and of packages.

    `cpu` is `?` if `/proc/cpuinfo` names no model. `load` is the load average of the last minute.
    """
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


def run_benchmark(config: Config, options: Options, name: str, size: Size, rounds: int) -> CommandResult:
    """Run one benchmark and report its ratios and figures; this is the body of `trackpools bench`.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        name: A name of `benchmarks`.
        size: The number of users and recordings.
        rounds: The number of times that each side runs; benchmarks without timing run once.

    Returns:
        A table with one line for each ratio, and one line for the median of each figure. In JSON these are
        `ratios`, `figures` and `machine`.

    Raises:
        ConfigError: If there is no benchmark of this name.
    """
    known = benchmarks()
    if name not in known:
        raise ConfigError(f"no benchmark is named {name!r}; choose one of {', '.join(known)}")
    before = machine()
    with options.progress(rounds + 1) as progress:
        measured = known[name](config, size, rounds, progress)
    ratios = {ratio.name: ratio.summary() for ratio in measured.ratios}
    figures = {key: round(statistics.median(values), 3) for key, values in measured.figures.items()}
    rows = []
    for key, told in ratios.items():
        values = (str(told[part]) for part in ("min", "median", "max", "goal"))
        rows.append((key, *values, "yes" if told["holds"] else "no"))
    title = f"bench {name}: {rounds} rounds on {before['cores']} cores, load {before['load']} at the start"
    table = TextTable(("ratio", "min", "median", "max", "goal", "holds"), rows, title=title)
    return CommandResult(
        lines=[table, *(f"{key}: {value:,}" for key, value in figures.items())],
        more={"ratios": ratios, "figures": figures, "machine": before},
    )
