"""The other half-step alone: recordings that were not trained on, against fixed user factors, distributed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import TrainConfig
from trackpools.core.als.blocks import Block
from trackpools.core.als.descent import eigenbasis
from trackpools.core.als.factors import FACTORS, as_table, matrix
from trackpools.core.als.foldin import HalfStep, by_block, in_blocks

GROUP_BYTES = 128 * 2**20  # a group is one Arrow table in a task
Matrix = NDArray[np.float64]


def grams(users: DataFrame, blocks: int) -> DataFrame:
    """`block int, users long, gram binary`: Σ x·xᵀ of the users of each block, float64 [rank, rank], summed by idx.

    Args:
        users: `idx int, factors array<float>`.
    """

    def gram(block: int, table: Any) -> Any:
        x = matrix(table.sort_by("user_idx")["factors"]).astype(np.float64)
        return pa.table(
            {"block": pa.array([block], pa.int32()), "users": [len(x)], "gram": [(x.T @ x).tobytes()]}
        )

    return by_block(
        in_blocks(users.withColumnRenamed("idx", "user_idx"), blocks),
        gram,
        "block int, users long, gram binary",
    )


def groups(rows: int, rank: int, least: int) -> int:
    """Into how many groups to divide the rows, each of which carries a user's factors."""
    return max(least, -(-rows * 4 * (rank + 4) // GROUP_BYTES))


def fold_in_recordings(
    rows: DataFrame,
    users: DataFrame,
    trained: DataFrame,
    config: TrainConfig,
    *,
    artists: DataFrame | None,
    gram: Matrix,
    people: int,
    divided: int,
) -> DataFrame:
    """`idx int, factors array<float>`: the optimum y_i of each recording in `rows` for fixed user factors.

    Its penalty is λ_i‖y_i − a_i‖², where a_i is the mean of its artist's trained recordings and 0 where there are none: who has
    few listeners starts where his artist is.

    Args:
        rows: `user_idx, recording_idx, value` of `signed`: all rows of the recordings wanted; users without factors are passed over.
        users, trained: `idx int, factors array<float>`.
        artists: `recording_idx, artist string`, or None for no prior.
        gram: XᵀX of all users [rank, rank].
        people: number of `users`.
        divided: groups to divide the rows into, see `groups`.
    """
    spectrum, basis = eigenbasis(gram)
    half = replace(HalfStep.of(spectrum, people, config), steps=0)
    known = rows.join(users.select(F.col("idx").alias("user_idx"), "factors"), "user_idx")
    left, right = (
        _by_artist(side, artists, divided)
        for side in (known, trained.withColumnRenamed("idx", "recording_idx"))
    )
    return left.groupBy("block").cogroup(right.groupBy("block")).applyInArrow(_solver(half, basis), FACTORS)


def _by_artist(rows: DataFrame, artists: DataFrame | None, count: int) -> DataFrame:
    """The rows with `artist long?` (a hash of the name) and `block`, equal for recordings of one artist."""
    named = rows.withColumn("artist", F.lit(None).cast("long"))
    if artists is not None:
        known = artists.where(F.col("artist").isNotNull()).select(
            "recording_idx", F.xxhash64("artist").alias("artist")
        )
        named = rows.join(known, "recording_idx", "left")
    return named.withColumn(
        "block",
        F.pmod(F.xxhash64(F.coalesce("artist", F.col("recording_idx").cast("long"))), F.lit(count)).cast(
            "int"
        ),
    )


def _solver(half: HalfStep, basis: Matrix) -> Callable[[Any, Any], Any]:
    def solve(table: Any, trained: Any) -> Any:
        if not table.num_rows:  # trained recordings alone
            return as_table(np.empty(0, np.int32), np.empty((0, len(basis))))
        table = table.sort_by([("recording_idx", "ascending"), ("user_idx", "ascending")])
        idx, first, sizes = np.unique(
            table["recording_idx"].to_numpy(), return_index=True, return_counts=True
        )
        x = (matrix(table["factors"]) @ basis).astype(np.float32)
        indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        block = Block(
            idx.astype(np.int32),
            indptr,
            np.arange(len(x), dtype=np.int32),
            table["value"].to_numpy().astype(np.float32),
        )
        named = table["artist"].is_valid().to_numpy()[first]
        means = _means(trained, table["artist"].fill_null(0).to_numpy()[first], named, len(basis))
        return as_table(idx, half.solve(block, x, (means @ basis).astype(np.float32)) @ basis.T)

    return solve


def _means(trained: Any, artists: NDArray[np.int64], named: NDArray[np.bool_], rank: int) -> Matrix:
    """Mean factors [len(artists), rank] of the trained recordings of each artist; 0 where it is not named or has none."""
    means = np.zeros((len(artists), rank))
    trained = trained.filter(pa.compute.is_valid(trained["artist"])).sort_by("recording_idx")
    names, member = np.unique(trained["artist"].to_numpy(), return_inverse=True)
    if not len(names):
        return means
    sums = np.zeros((len(names), rank))
    np.add.at(sums, member, matrix(trained["factors"]).astype(np.float64))
    where = np.minimum(np.searchsorted(names, artists), len(names) - 1)
    there = (names[where] == artists) & named
    means[there] = (sums / np.bincount(member)[:, None])[where[there]]
    return means
