"""What several benchmarks use: synthetic tables as parquet files, and timing on one or all cores.

The tables are those that candidate sources read, such as factors, histories and cards. Each set of tables is
written to a temporary folder of its own.
"""

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.als.factors import as_table
from trackpools.core.contracts.conform import conform
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.proposals.release_layout import LAYOUTS
from trackpools.core.sources import popular
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.source_lists import all_lists
from trackpools.shell.arrays.open_arrays import written
from trackpools.shell.arrays.written_arrays import columns_of, write_missing
from trackpools.shell.bench.claims import Ratio
from trackpools.shell.bench.interaction_logs import Log

RANK = 64  # factors of each user and recording
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)  # moment of the synthetic release


def factors(users: int, recordings: int) -> tuple[Any, Any]:
    """Draw random factors: float32 [users, RANK] and [recordings, RANK].

    The vectors of recordings are scaled by a log-normal factor, because the vectors of popular recordings are
    longer in trained models too.
    """
    rng = np.random.default_rng(1)
    y = (rng.normal(size=(recordings, RANK)) * rng.lognormal(0, 0.5, (recordings, 1))).astype(np.float32)
    return rng.normal(size=(users, RANK)).astype(np.float32), y


def seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that the work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def training(spark: SparkSession, made: Log, folder: Path) -> DataFrame:
    """Write the log to a parquet file, and return it as training data for the engines.

    Args:
        spark: The session that reads the file.
        made: The log.
        folder: An existing folder, in which `log.parquet` is written.

    Returns:
        `user_idx int, recording_idx int, positive double, negative double`; negative is 0.
    """
    columns = {
        "user_idx": made.user,
        "recording_idx": made.recording,
        "positive": made.weight.astype(np.float64),
        "negative": np.zeros(len(made.user)),
    }
    pq.write_table(pa.table(columns), folder / "log.parquet", row_group_size=1 << 18)
    return spark.read.parquet(str(folder / "log.parquet"))


def each_core(users: int, work: Callable[[slice], Any]) -> list[tuple[slice, Any]]:
    """Split the first users into one part for each core and run the work on all parts at the same time.

    Args:
        users: The number of users.
        work: Gets a slice of `0:users` and runs in a thread of its own.

    Returns:
        The slice and the result of each part, in the order of users.
    """
    cores = os.cpu_count() or 1
    edges = [users * core // cores for core in range(cores + 1)]
    parts = [slice(*pair) for pair in itertools.pairwise(edges)]
    with ThreadPoolExecutor(cores) as pool:
        return list(zip(parts, pool.map(work, parts), strict=True))


def gain() -> Ratio:
    """Return a ratio without values, with the goal that all cores are 0.85 × their number as fast as one."""
    return Ratio("all cores ÷ one core", 0.85 * (os.cpu_count() or 1))


@contextmanager
def one_core() -> Iterator[None]:
    """Restrict this thread, and the threads that it starts inside the block, to the same single core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def only(config: Config, told: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return the configuration with only some of the sources.

    Args:
        config: The merged configuration.
        told: Source → its settings to change. All sources that are not named are switched off.
    """
    sources = {
        name: getattr(config.sources, name).model_copy(update=told.get(name, {"enabled": False}))
        for name in config.sources.names
    }
    return config.model_copy(update={"sources": config.sources.model_copy(update=sources)})


class Inputs:
    """The tables that pools are made from, as parquet in a temporary folder.

    All users are in one market, SE, in which every recording may be played. Each user played each of their
    recordings three times.

    Attributes:
        folder: The folder with the tables; `drop` deletes it.
    """

    def __init__(self, spark: SparkSession, made: Log, x: Any, y: Any) -> None:
        """Write the tables.

        Args:
            spark: The session that reads them.
            made: The log.
            x: User factors, float32 [users, rank].
            y: Recording factors, float32 [recordings, rank].
        """
        self._spark, self.folder, self._recordings = (
            spark,
            Path(tempfile.mkdtemp(prefix="trackpools-bench-")),
            len(y),
        )
        self._numbers = itertools.count()
        everybody, everything, pairs = (
            np.arange(len(x), dtype=np.int32),
            np.arange(len(y), dtype=np.int32),
            len(made.user),
        )
        self._write("user_factors", as_table(everybody, x))
        self._write("recording_factors", as_table(everything, y))
        self._write(
            "users",
            pa.table({"user_idx": everybody, "market": _same("SE", len(x)), "clean": np.zeros(len(x), bool)}),
        )
        met = {
            "user_idx": made.user,
            "recording_idx": made.recording,
            "plays": np.full(pairs, 3, np.int16),
            "weight": made.weight,
        }
        met |= {"first_day": np.full(pairs, 19_900, np.int32), "last_day": np.full(pairs, 20_000, np.int32)}
        self._write(
            "history",
            pa.table(
                met
                | {
                    "heard": np.ones(pairs, bool),
                    "blocked": np.zeros(pairs, bool),
                    "refused": np.zeros(pairs, bool),
                }
            ),
        )
        names = pa.array(everything).cast(pa.string())
        listeners = np.bincount(made.recording, minlength=len(y)).astype(np.int32)
        alone = dict.fromkeys(("recording_idx", "song", "artist", "album"), everything)
        self._write(
            "recording_facts", pa.table(alone | {"listeners": listeners, "inflated": np.zeros(len(y), bool)})
        )
        card = {
            "recording_idx": everything,
            "available": np.ones(len(y), bool),
            "track_id": names,
            "clean_track_id": names,
            "listeners": listeners,
        }
        self._write(
            "cards",
            pa.concat_tables([pa.table(card | {"market": _same(market, len(y))}) for market in ("SE", "*")]),
        )

    def _write(self, name: str, table: Any) -> None:
        pq.write_table(table, self.folder / f"{name}.parquet", row_group_size=1 << 18)

    def read(self, name: str) -> DataFrame:
        """Read a table from the folder by its file name without `.parquet`, for example `history`."""
        return self._spark.read.parquet(str(self.folder / f"{name}.parquet"))

    def inputs(
        self, config: Config, barred: DataFrame | None = None, facts: str = "recording_facts"
    ) -> PoolInputs:
        """Return the inputs of pools; of the sources with lists, only `popular` has any.

        Args:
            config: The merged configuration.
            barred: `recording_idx int` of recordings to leave out of cards, facts and factors; None leaves out
                none.
            facts: The name of the table with the facts of recordings.
        """
        told = {name: self.read(name) for name in ("cards", "recording_factors", facts)}
        if barred is not None:
            told = {
                name: rows.join(barred, rows[rows.columns[0]] == barred["recording_idx"], "left_anti")
                for name, rows in told.items()
            }
        known, empty = conform(told.pop(facts), t.RECORDING_FACTS), self.read("history").limit(0)
        lists = all_lists(
            ListInputs(
                interactions=empty,
                days=empty,
                facts=known,
                recordings=self._recordings,
                config=config,
                as_of=AS_OF,
                **told,
            ),
            [popular.SOURCE],
        )
        factors, number = told["recording_factors"], next(self._numbers)
        frames = {"recording_facts": known, "track_cards": told["cards"], "source_lists": lists} | {
            "recording_factors": factors,
            "fresh_factors": factors.limit(0),
            "recording_vectors": factors.limit(0),
        }
        folder, names = self.folder / f"arrays-{number}", {name: name for name in LAYOUTS}
        write_missing(folder, names, columns_of(frames), config.topk)
        users = self.read("users").withColumns(
            {"profile": F.lit(None).cast(t.PROFILE), "declared_tags": F.lit(None).cast("array<string>")}
        )
        return PoolInputs(
            users=users,
            history=self.read("history"),
            config=config,
            as_of=AS_OF,
            vectors={"user_factors": self.read("user_factors")},
            arrays=written(folder, names),
        )

    def drop(self) -> None:
        """Delete the folder with the tables."""
        shutil.rmtree(self.folder)


def _same(text: str, count: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text])).cast(
        pa.string()
    )
