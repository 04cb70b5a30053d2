"""Factors to pools at growing numbers of users: does the time grow with them, and does the memory not?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core import assemble
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import AS_OF, Inputs, factors, only, seconds
from trackpools.shell.bench.logs import log
from trackpools.shell.bench.memory import peak
from trackpools.shell.session import spark_session
from trackpools.shell.store import Store

K, HEARD_EACH, GIB = 200, 50, 2**30


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """Pools of 200 from `als` and `popular`, into Delta; 50 interactions a user. The exponent is the slope of log seconds over log users."""
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
            tell(f"round {number}: {users:,} users")
            x, y = factors(users, recordings)
            made = log(users, recordings, HEARD_EACH * users)
            inputs = Inputs(spark, made, x, y)
            del x, y, made  # what made the tables is not what makes the pools
            try:
                with peak() as held:
                    spent.append(
                        found.note(
                            f"{users:,} users, s", seconds(lambda inputs=inputs: _pools(config, inputs))
                        )
                    )  # type: ignore[misc]
                found.note(f"{users:,} users, pools/s", users / spent[-1])
                found.note(f"{users:,} users, peak GiB", held.bytes / GIB)
                found.note(f"{users:,} users, pools table GiB", _size(inputs.folder / "root") / GIB)
            finally:
                inputs.drop()
        exponent.values.append(float(np.polyfit(np.log(sizes), np.log(spent), 1)[0]))
        memory.values.append(held.bytes / GIB)
    return found


def _pools(config: Config, inputs: Inputs) -> None:
    settings = only(config, {"als": {"k": 2 * K, "k_heard": K}, "popular": {"k": 2 * K}}).model_copy(
        update={
            "pools": config.pools.model_copy(update={"k": K}),
            "store": config.store.model_copy(update={"root": str(inputs.folder / "root")}),
        }
    )
    given = inputs.inputs(settings)
    made = assemble.pools(given, assemble.candidates(given), AS_OF, "bench")
    Store(spark_session(config.session), settings.store).overwrite(t.POOLS, made, {"stage": "bench"})


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
