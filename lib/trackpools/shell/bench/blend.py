"""Users a minute from sources' output to pools on one core, the heaviest user's cost to others, and what sketches lose of diversity."""

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
from trackpools.core import assemble
from trackpools.core.contract import conform
from trackpools.core.packing import binaries
from trackpools.core.pools import Candidates, PoolRequest, Tastes, build_pools
from trackpools.core.rules import RULES
from trackpools.core.shelf import AXES, Shelf, packed_shelf
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import RANK, Inputs, one_core, seconds
from trackpools.shell.bench.logs import Log, log
from trackpools.shell.bench.memory import peak
from trackpools.shell.session import spark_session

OFFERED = (1_200, 800)  # by als and by popular: 2,000 candidates a user
KINDS, HEARD_EACH, HEAVY, GIB = (
    2_048,
    65,
    100_000,
    2**30,
)  # listeners beyond KINDS are offered what one of these is
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
STRENGTHS = {
    "without": {"mmr": 0.0, "calibration": 0.0},
    "with both": {"mmr": 0.05, "calibration": 0.9},
}  # as conf/base.yml
Array = NDArray[Any]


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """2,000 candidates in, 500 out, with floors, caps and reserve; read from and written to parquet by a session that has one core."""
    users, recordings = size.of((40_000, 20_000), (4_000, 20_000))
    rates = [Ratio("users/min without MMR and calibration", 20_000.0), Ratio("users/min with both", 5_000.0)]
    memory = Ratio("peak memory ÷ that of a quarter of the users", 1.1, at_most=True)
    others = Ratio("others' time beside a user of 100,000 candidates ÷ without", 1.1, at_most=True)
    diverse = Ratio("diversity by sketches ÷ by exact vectors", 0.98)
    found = Measured([*rates, memory, others, diverse])
    with one_core(), threadpool_limits(1, "blas"):
        tell("log, factors, candidates: make and write")
        spark = spark_session(config.session.model_copy(update={"cores": 1, "quick_start": size.quick}))
        worlds = [World(spark, many, recordings) for many in (users // 4, users)]
        try:
            _run(worlds[0], config, "with both")  # compiles
            for number in range(1, rounds + 1):
                tell(f"round {number}")
                for ratio, name in zip(rates, STRENGTHS, strict=True):
                    ratio.values.append(60 * users / seconds(partial(_run, worlds[1], config, name)))
                held = []
                for world in worlds:
                    with peak() as seen:
                        _run(world, config, "with both")
                    held.append(found.note(f"{world.users:,} users, peak GiB", seen.bytes / GIB))
                memory.values.append(held[1] / held[0])
                others.values.append(_heaviest(found, worlds[0].shelf))
                diverse.values.append(_diversity(found, worlds[0]))
        finally:
            for world in worlds:
                world.inputs.drop()
    return found


class World:
    """Listeners of a trained model, what two sources propose to them, and facts of recordings."""

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
        everybody = np.arange(self.users, dtype=np.int32)
        parts = []
        for source, items in enumerate(self.offered):
            rows = np.ascontiguousarray(items[everybody % len(items)])
            data = binaries(rows, np.arange(self.users + 1, dtype=np.int64) * rows.shape[1] * 4)
            same = {"source": np.full(self.users, source, np.int8), "masked": np.zeros(self.users, np.int32)}
            parts.append(pa.table({"user_idx": everybody, **same, "recordings": data, "scores": data}))
        pq.write_table(
            pa.concat_tables(parts), self.inputs.folder / "proposed.parquet", row_group_size=1 << 12
        )

    def _facts(self, made: Log) -> None:
        """Artists of some seven recordings, every tenth a version of the one before; tags and groups as kinds of listeners make them."""
        rng, n = np.random.default_rng(2), len(self.y)
        idx = np.arange(n, dtype=np.int32)
        axes = np.linalg.eigh(self.unit.T.astype(np.float64) @ self.unit)[1][:, ::-1][:, :AXES]
        seen = (
            self.unit @ axes
        )  # of unit length again: else what lies off the axes would seem unlike everything
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
        self.shelf = replace(Shelf.blank(n), artist=facts["artist"], album=facts["album"], sketch=self.sketch)


def _run(world: World, config: Config, name: str) -> None:
    """Sources' output to pools as the table holds them."""
    settings = config.model_copy(update={"pools": config.pools.model_copy(update=STRENGTHS[name])})
    given = replace(world.inputs.inputs(settings), shelf=packed_shelf(world.inputs.read("facts")))
    made = assemble.pools(given, world.inputs.read("proposed"), AS_OF, "bench")
    conform(made, t.POOLS).write.mode("overwrite").parquet(str(world.inputs.folder / "pools"))


def _candidates(lists: list[Array], shelf: Shelf) -> Candidates:
    """What one source proposes to each user, best first."""
    sizes = [len(one) for one in lists]
    user, recording = np.repeat(np.arange(len(lists)), sizes), np.concatenate(lists).astype(np.int64)
    rank = np.concatenate([np.arange(1, n + 1) for n in sizes])
    none, users = np.zeros(len(user), np.int64), np.zeros(len(lists), np.int64)
    return Candidates(
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
        shelf=shelf,
        tastes=Tastes.unknown(len(lists)),
    )


def _heaviest(found: Measured, shelf: Shelf) -> float:
    """How many times longer 255 users of 2,000 candidates take because one of 100,000 is in their batch."""
    rng = np.random.default_rng(3)
    usual = [rng.permutation(len(shelf))[: sum(OFFERED)] for _ in range(255)]
    request = PoolRequest(500, 60, (1.0,), mmr=0.1, artist_cap=25, album_cap=12)
    spent = {
        name: min(seconds(partial(build_pools, _candidates(lists, shelf), request)) for _ in range(3))
        for name, lists in (
            ("usual", usual),
            ("both", [*usual, rng.permutation(HEAVY)]),
            ("heavy", [rng.permutation(HEAVY)]),
        )
    }
    found.note("a user of 100,000 candidates, ms", 1000 * spent["heavy"])
    found.note("a user of 2,000 candidates, kernel, ms", 1000 * spent["usual"] / len(usual))
    return (spent["both"] - spent["heavy"]) / spent["usual"]


def _diversity(found: Measured, world: World) -> float:
    """Mean distance 1 − cos between all of a pool, by exact vectors: chosen by sketches ÷ chosen by exact vectors, at the default strength.

    The distance to the nearest, which is what MMR is about, and the relevance kept are figures beside it.
    """
    users, k, mmr = 32, 500, STRENGTHS["with both"]["mmr"]
    lists = [row[: sum(OFFERED)] for row in np.argsort(-(world.x[:users] @ world.y.T), axis=1)]
    plain = replace(
        world.shelf,
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
