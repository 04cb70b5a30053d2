"""Fold recordings in: compute factors of untrained recordings from fixed user factors, in Spark tasks."""

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
from trackpools.core.als.factors import FACTORS, as_table, factor_matrix
from trackpools.core.als.fold_in_users import HalfStep, in_blocks, map_blocks
from trackpools.core.als.item_solver import eigenbasis
from trackpools.core.arrays.array_types import Float64Array

GROUP_BYTES = 128 * 2**20  # the greatest average size of a group of rows; a task reads a group as one table


def grams(users: DataFrame, blocks: int) -> DataFrame:
    """Compute the Gram matrix Σ x·xᵀ of the users of each block; the users are added in the order of idx.

    Args:
        users: `idx int, factors array<float>`.
        blocks: number of blocks.

    Returns:
        `block int, users long, gram binary`, one row for each block that has users. `users` is their number,
        and `gram` is float64 [rank, rank].
    """

    def gram(block: int, table: pa.Table) -> pa.Table:
        x = factor_matrix(table.sort_by("user_idx")["factors"]).astype(np.float64)
        return pa.table(
            {"block": pa.array([block], pa.int32()), "users": [len(x)], "gram": [(x.T @ x).tobytes()]}
        )

    return map_blocks(
        in_blocks(users.withColumnRenamed("idx", "user_idx"), blocks),
        gram,
        "block int, users long, gram binary",
    )


def groups(rows: int, rank: int, least: int) -> int:
    """Return the number of groups into which `fold_in_recordings` should divide its rows.

    A group of average size then has at most GROUP_BYTES; each row carries the factors of its user.

    Args:
        rows: number of rows.
        rank: number of factors.
        least: the least number of groups.
    """
    return max(least, -(-rows * 4 * (rank + 4) // GROUP_BYTES))


def fold_in_recordings(
    rows: DataFrame,
    users: DataFrame,
    trained: DataFrame,
    config: TrainConfig,
    *,
    artists: DataFrame | None,
    gram: Float64Array,
    n_users: int,
    divided: int,
) -> DataFrame:
    """Compute the optimal factors y_i of each recording in `rows` for fixed user factors.

    The penalty is λ_i‖y_i − m_i‖². Here m_i is the mean factors of the trained recordings of the same artist,
    or 0 if there are none. So the factors of a recording with few listeners stay near those of its artist.

    Args:
        rows: `user_idx, recording_idx, value` of `fold_in_users.signed_values`: all rows of the recordings to
            compute. Rows of users without factors are ignored.
        users: `idx int, factors array<float>` of users.
        trained: `idx int, factors array<float>` of the trained recordings.
        config: the `train` section.
        artists: `recording_idx, artist string`; None to draw all recordings towards 0.
        gram: XᵀX of all users, float64 [rank, rank].
        n_users: number of rows of `users`.
        divided: number of groups into which the rows are divided; see `groups`.

    Returns:
        `idx int, factors array<float>`, one row for each recording that at least one of the users has.
    """
    spectrum, basis = eigenbasis(gram)
    half = replace(HalfStep.of(spectrum, n_users, config), steps=0)
    known = rows.join(users.select(F.col("idx").alias("user_idx"), "factors"), "user_idx")
    left, right = (
        _by_artist(side, artists, divided)
        for side in (known, trained.withColumnRenamed("idx", "recording_idx"))
    )
    return left.groupBy("block").cogroup(right.groupBy("block")).applyInArrow(_solver(half, basis), FACTORS)


def _by_artist(rows: DataFrame, artists: DataFrame | None, count: int) -> DataFrame:
    """Add `artist long` and `block int` to the rows; both are equal for all recordings of one artist.

    `artist` is a hash of the name, and null if the artist is unknown. Then the block depends on the
    recording.
    """
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


def _solver(half: HalfStep, basis: Float64Array) -> Callable[[Any, Any], Any]:
    def solve(table: Any, trained: Any) -> Any:
        if not table.num_rows:  # the group has only trained recordings, so there is nothing to compute
            return as_table(np.empty(0, np.int32), np.empty((0, len(basis))))
        table = table.sort_by([("recording_idx", "ascending"), ("user_idx", "ascending")])
        idx, first, sizes = np.unique(
            table["recording_idx"].to_numpy(), return_index=True, return_counts=True
        )
        x = (factor_matrix(table["factors"]) @ basis).astype(np.float32)
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


def _means(trained: Any, artists: NDArray[np.int64], named: NDArray[np.bool_], rank: int) -> Float64Array:
    """Return the mean factors of the trained recordings of each artist, float64 [artists, rank].

    Args:
        trained: Arrow table `recording_idx, artist, factors`; rows whose artist is null are ignored.
        artists: the artists wanted.
        named: whether the artist is known; if not, the mean is 0, as for an artist without trained
            recordings.
        rank: number of factors.
    """
    means = np.zeros((len(artists), rank))
    trained = trained.filter(pa.compute.is_valid(trained["artist"])).sort_by("recording_idx")
    names, member = np.unique(trained["artist"].to_numpy(), return_inverse=True)
    if not len(names):
        return means
    sums = np.zeros((len(names), rank))
    np.add.at(sums, member, factor_matrix(trained["factors"]).astype(np.float64))
    where = np.minimum(np.searchsorted(names, artists), len(names) - 1)
    there = (names[where] == artists) & named
    means[there] = (sums / np.bincount(member)[:, None])[where[there]]
    return means
