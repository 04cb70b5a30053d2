"""Benchmark of the blend on one core: speed, memory, cost of a heavy user, and diversity by sketches.

The blend turns the candidates of the sources into pools. Speed is the number of users for each minute. A sketch
is the vector of a recording, compressed to AXES small integers.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from threadpoolctl import threadpool_limits

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.arrays.packing import binaries
from trackpools.core.arrays.recording_table import AXES, RecordingTable
from trackpools.core.contracts.conform import conform
from trackpools.core.pools import batch
from trackpools.core.pools.build import CandidateBatch, PoolRequest, build_pools
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.core.rules.eligibility import RULES
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import Log, log
from trackpools.shell.bench.memory import peak
from trackpools.shell.bench.workloads import RANK, Inputs, one_core, seconds
from trackpools.shell.spark.session import spark_session

OFFERED = (1_200, 800)  # candidates of `als` and of `popular`: 2,000 for each user
# KINDS: users with candidates of their own; every other user gets the candidates of one of them. HEARD_EACH:
# interactions to draw for each user. HEAVY: candidates of the heavy user. GIB: bytes.
KINDS, HEARD_EACH, HEAVY, GIB = (
    2_048,
    65,
    100_000,
    2**30,
)
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
STRENGTHS = {
    "without": {"mmr": 0.0, "calibration": 0.0},
    "with both": {"mmr": 0.05, "calibration": 0.9},
}  # "with both" has the values of conf/base.yml


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Build pools of 500 from 2,000 candidates for each user, with floors, caps and a reserve.

    A session with one core reads the candidates from parquet and writes the pools to parquet.

    Returns:
        Ratios: users for each minute without and with MMR and calibration, the peak memory ÷ that of a
        quarter of the users, the time of other users beside a user of 100,000 candidates ÷ their time
        without that user, and the diversity by sketches ÷ by exact vectors.
    """
    users, recordings = size.of((40_000, 20_000), (4_000, 20_000))
    rates = [Ratio("users/min without MMR and calibration", 20_000.0), Ratio("users/min with both", 5_000.0)]
    memory = Ratio("peak memory ÷ that of a quarter of the users", 1.1, at_most=True)
    others = Ratio("others' time beside a user of 100,000 candidates ÷ without", 1.1, at_most=True)
    diverse = Ratio("diversity by sketches ÷ by exact vectors", 0.98)
    found = Measured([*rates, memory, others, diverse])
    with one_core(), threadpool_limits(1, "blas"):
        progress("log: draw interactions, train factors and write candidates")
        spark = spark_session(config.session.model_copy(update={"cores": 1, "quick_start": size.quick}))
        worlds = [BlendWorkload(spark, many, recordings) for many in (users // 4, users)]
        try:
            _run(worlds[0], config, "with both")  # compiles the code
            for number in range(1, rounds + 1):
                progress(f"round {number}")
                for ratio, name in zip(rates, STRENGTHS, strict=True):
                    ratio.values.append(60 * users / seconds(partial(_run, worlds[1], config, name)))
                held = []
                for world in worlds:
                    with peak() as seen:
                        _run(world, config, "with both")
                    held.append(found.note(f"{world.users:,} users, peak GiB", seen.bytes / GIB))
                memory.values.append(held[1] / held[0])
                others.values.append(_heaviest(found, worlds[0].table))
                diverse.values.append(_diversity(found, worlds[0]))
        finally:
            for world in worlds:
                world.inputs.drop()
    return found


class BlendWorkload:
    """A trained model, the candidates of two sources, and the facts of recordings.

    Attributes:
        users: The number of users.
        x, y: Factors of users and recordings, float32 [users, RANK] and [recordings, RANK].
        inputs: The tables in a temporary folder, and the further tables `proposed` (the candidates) and
            `facts`.
        offered: For `als` and `popular`, an array int32 [users, candidates] with the recordings proposed to
            each of the first KINDS users, best first.
        unit: `y`, with each row scaled to length 1.
        sketch: int8 [recordings, AXES], the sketches of the recordings.
        table: The facts of recordings that the kernel reads: artist, album and sketch.
    """

    def __init__(self, spark: SparkSession, users: int, recordings: int) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        self.users, self._spark = users, spark
        made = log(users, recordings, HEARD_EACH * users)
        model = AlternatingLeastSquares(
            factors=RANK, regularization=50.0, alpha=1.0, iterations=3, random_state=1, num_threads=1
        )
        model.fit(made.csr(5.0), show_progress=False)
        self.x, self.y = model.user_factors, model.item_factors
        self.inputs = Inputs(spark, made, self.x, self.y)
        popular = np.argsort(-np.bincount(made.recording, minlength=recordings), kind="stable")[
            : OFFERED[1]
        ].astype(np.int32)
        scores = self.x[:KINDS] @ self.y.T
        best = np.argsort(-scores, axis=1)[:, : OFFERED[0]].astype(np.int32)
        self.offered = [best, np.broadcast_to(popular, (len(best), OFFERED[1]))]
        self._propose()
        self.unit = self.y / np.maximum(np.linalg.norm(self.y, axis=1, keepdims=True), 1e-9)
        self._facts(made)

    def _propose(self) -> None:
        """Write `proposed`: one row for each user × source, with the proposed recordings as binary."""
        everybody = np.arange(self.users, dtype=np.int32)
        parts = []
        for source, items in enumerate(self.offered):
            rows = np.ascontiguousarray(items[everybody % len(items)])
            data = binaries(rows, np.arange(self.users + 1, dtype=np.int64) * rows.shape[1] * 4)
            none = np.zeros(self.users, np.int32)
            same = {"source": np.full(self.users, source, np.int8), "masked": none, "lot_size": none}
            parts.append(pa.table({"user_idx": everybody, **same, "recordings": data, "scores": data}))
        pq.write_table(
            pa.concat_tables(parts), self.inputs.folder / "proposed.parquet", row_group_size=1 << 12
        )

    def _facts(self, made: Log) -> None:
        """Draw the facts of recordings, and write them to the table `facts`.

        An artist has about seven recordings, and every tenth recording is a version of the one before it.
        One tag and the tag group follow the kinds of taste in the log.
        """
        rng, n = np.random.default_rng(2), len(self.y)
        idx = np.arange(n, dtype=np.int32)
        axes = np.linalg.eigh(self.unit.T.astype(np.float64) @ self.unit)[1][:, ::-1][:, :AXES]
        seen = (
            self.unit @ axes
        )  # it is scaled to length 1 below; a short row would make a recording seem unlike all others
        self.sketch = np.rint(
            seen / np.maximum(np.linalg.norm(seen, axis=1, keepdims=True), 1e-9) * 127
        ).astype(np.int8)
        names = np.array([f"tag{i}" for i in range(200)])
        tags = names[
            np.stack([idx % 20, 20 + rng.zipf(1.5, n).clip(1, 100), 120 + rng.integers(0, 70, n)], axis=1)
        ]
        facts = {
            "recording_idx": idx,
            "song": np.where(idx % 10 == 9, idx - 1, idx),
            "artist": idx // 140 * 140 + idx % 20,
            "album": idx // 40 * 40 + idx % 20,
            "decade": rng.choice(np.arange(1950, 2030, 10), n).astype(np.int16),
            "tempo_band": rng.integers(0, 3, n).astype(np.int8),
            "tag_group": (1 + idx % 20).astype(np.int8),
            "popularity_band": rng.choice(np.arange(3, dtype=np.int8), n, p=(0.7, 0.25, 0.05)),
            "listeners": np.bincount(made.recording, minlength=n).astype(np.int32),
        }
        more = {
            "tags": pa.array(tags.tolist()),
            "inflated": np.zeros(n, bool),
            "functional": pa.nulls(n, pa.string()),
            "released": pa.nulls(n, pa.date32()),
            "sketch": pa.array([row.tobytes() for row in self.sketch], pa.binary()),
        }
        pq.write_table(pa.table(facts | more), self.inputs.folder / "facts.parquet")
        self.table = replace(
            RecordingTable.blank(n), artist=facts["artist"], album=facts["album"], sketch=self.sketch
        )


def _run(world: BlendWorkload, config: Config, name: str) -> None:
    """Build pools from the candidates and write them in the schema of the table `pools`.

    Args:
        world: The candidates and their inputs.
        config: The merged configuration.
        name: A key of STRENGTHS.
    """
    settings = config.model_copy(update={"pools": config.pools.model_copy(update=STRENGTHS[name])})
    given = world.inputs.inputs(settings, facts="facts")
    made = batch.pools(given, "bench", world.inputs.read("proposed"))
    conform(made, t.POOLS).write.mode("overwrite").parquet(str(world.inputs.folder / "pools"))


def _candidates(lists: list[NDArray[Any]], table: RecordingTable) -> CandidateBatch:
    """Return a batch in which one source proposes these recordings, best first, to each user.

    Args:
        lists: For each user, int [candidates] `recording_idx`.
        table: Facts of all recordings.
    """
    sizes = [len(one) for one in lists]
    user, recording = np.repeat(np.arange(len(lists)), sizes), np.concatenate(lists).astype(np.int64)
    rank = np.concatenate([np.arange(1, n + 1) for n in sizes])
    none, users = np.zeros(len(user), np.int64), np.zeros(len(lists), np.int64)
    return CandidateBatch(
        user=user,
        recording=recording,
        source=none,
        rank=rank,
        flags=none,
        plays=none,
        last_day=none - 1,
        heard=none.astype(bool),
        masked=users,
        withheld=np.zeros((len(lists), len(RULES)), np.int64),
        recording_table=table,
        tastes=TagDistributions.empty(len(lists)),
        lot_chance=np.ones(len(lists)),
    )


def _heaviest(found: Measured, table: RecordingTable) -> float:
    """Measure how much a heavy user slows down other users in the same batch.

    The heavy user has 100,000 candidates, and the 255 others have 2,000 each.

    Args:
        found: The milliseconds for each kind of user are added to its figures.
        table: Facts of all recordings.

    Returns:
        The time of the 255 users in a batch with the heavy user ÷ their time in a batch without. The first
        time is computed as the time of the whole batch less the time of the heavy user alone.
    """
    rng = np.random.default_rng(3)
    usual = [rng.permutation(len(table))[: sum(OFFERED)] for _ in range(255)]
    request = PoolRequest(500, 60, (1.0,), mmr=0.1, artist_cap=25, album_cap=12)
    spent = {
        name: min(seconds(partial(build_pools, _candidates(lists, table), request)) for _ in range(3))
        for name, lists in (
            ("usual", usual),
            ("both", [*usual, rng.permutation(HEAVY)]),
            ("heavy", [rng.permutation(HEAVY)]),
        )
    }
    found.note("a user of 100,000 candidates, ms", 1000 * spent["heavy"])
    found.note("a user of 2,000 candidates, kernel, ms", 1000 * spent["usual"] / len(usual))
    return (spent["both"] - spent["heavy"]) / spent["usual"]


def _diversity(found: Measured, world: BlendWorkload) -> float:
    """Compare the diversity of pools that MMR chose by sketches and by exact vectors.

    MMR has its default strength. Diversity is the mean of 1 − cosine over all pairs of recordings in a pool; it
    is always computed from exact vectors.

    Args:
        found: Three measures are added to its figures: the diversity, the distance to the nearest recording
            (which MMR should increase) and the mean relevance. Each is given for pools chosen by sketches, by
            exact vectors and without MMR.
        world: The users and recordings.

    Returns:
        The diversity with sketches ÷ with exact vectors.
    """
    users, k, mmr = 32, 500, STRENGTHS["with both"]["mmr"]
    lists = [row[: sum(OFFERED)] for row in np.argsort(-(world.x[:users] @ world.y.T), axis=1)]
    plain = replace(
        world.table,
        artist=np.arange(len(world.y), dtype=np.int32),
        album=np.arange(len(world.y), dtype=np.int32),
    )
    pools = build_pools(_candidates(lists, plain), PoolRequest(k, 60, (1.0,), mmr=mmr)).picks
    distance: dict[str, list[tuple[float, ...]]] = {"sketches": [], "exact vectors": [], "none": []}
    for u, mine in enumerate(lists):
        unit = world.unit[mine].astype(np.float64)
        relevance, alike, chosen = (
            61.0 / (60 + np.arange(1, len(mine) + 1)),
            np.zeros(len(mine)),
            np.zeros(len(mine), bool),
        )
        for _ in range(k):
            one = int(np.argmax(np.where(chosen, -np.inf, (1 - mmr) * relevance - mmr * alike)))
            chosen[one], alike = True, np.maximum(alike, unit @ unit[one])
        ours = pools.recording[pools.offsets[u] : pools.offsets[u + 1]]
        for name, picked in (
            ("sketches", np.isin(mine, ours)),
            ("exact vectors", chosen),
            ("none", np.arange(len(mine)) < k),
        ):
            cosines = unit[picked] @ unit[picked].T
            mean = (cosines.sum() - np.trace(cosines)) / (k * (k - 1))
            np.fill_diagonal(cosines, -1)
            distance[name].append(
                (1 - float(mean), 1 - float(cosines.max(axis=1).mean()), float(relevance[picked].mean()))
            )
    means = {}
    for name, values in distance.items():
        for what, value in zip(
            ("diversity", "distance to the nearest", "relevance"), np.mean(values, axis=0), strict=True
        ):
            means[what, name] = found.note(f"{what} by {name}", float(value))
    return means["diversity", "sketches"] / means["diversity", "exact vectors"]
