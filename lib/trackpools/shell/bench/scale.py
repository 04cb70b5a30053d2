"""Benchmark of growth: how the time and memory to build pools grow with the number of users."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.pools import batch
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import log
from trackpools.shell.bench.memory import peak
from trackpools.shell.bench.workloads import Inputs, factors, only, seconds
from trackpools.shell.spark.session import spark_session
from trackpools.shell.store.store import Store

# K: candidates of a pool. HEARD_EACH: interactions to draw for each user. GIB: bytes.
K, HEARD_EACH, GIB = 200, 50, 2**30


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Build pools of 200 from `als` and `popular` into a Delta table, for three numbers of users.

    Each user has about 50 interactions. The numbers of users are a tenth, three tenths and all of the size.

    Returns:
        Ratios: the growth exponent, which is the slope of log seconds over log users, and the peak memory of
        all processes at the largest number of users, in GiB.
    """
    most, recordings = size.of((1_000_000, 100_000), (50_000, 10_000))
    sizes = most // 10, 3 * most // 10, most
    exponent, memory = (
        Ratio("growth exponent of seconds over users", 1.1, at_most=True),
        Ratio("peak memory of all processes, GiB", 12.0, at_most=True),
    )
    found, spark = Measured([exponent, memory]), spark_session(config.session)
    for number in range(1, rounds + 1):
        spent = []
        for users in sizes:
            progress(f"round {number}: {users:,} users")
            x, y = factors(users, recordings)
            made = log(users, recordings, HEARD_EACH * users)
            inputs = Inputs(spark, made, x, y)
            del x, y, made  # free the memory: only the tables are read from here on
            try:
                with peak() as held:
                    spent.append(found.note(f"{users:,} users, s", seconds(partial(_pools, config, inputs))))
                found.note(f"{users:,} users, pools/s", users / spent[-1])
                found.note(f"{users:,} users, peak GiB", held.bytes / GIB)
                found.note(f"{users:,} users, pools table GiB", _size(inputs.folder / "root") / GIB)
            finally:
                inputs.drop()
        exponent.values.append(float(np.polyfit(np.log(sizes), np.log(spent), 1)[0]))
        memory.values.append(held.bytes / GIB)
    return found


def _pools(config: Config, inputs: Inputs) -> None:
    """Build the pools and write them to the store in the folder of the inputs."""
    settings = only(config, {"als": {"k": 2 * K, "k_heard": K}, "popular": {"k": 2 * K}}).model_copy(
        update={
            "pools": config.pools.model_copy(update={"k": K}),
            "store": config.store.model_copy(update={"root": str(inputs.folder / "root")}),
        }
    )
    given = inputs.inputs(settings)
    made = batch.pools(given, "bench")
    Store(spark_session(config.session), settings.store).overwrite(t.POOLS, made, {"stage": "bench"})


def _size(folder: Path) -> int:
    """Return the size of all files below the folder, in bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
