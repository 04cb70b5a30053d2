"""A vector for a recording that nobody played: what its artist, album, tags and sound say, each as far as it is to be trusted.

Each of the four is a mean of trained recordings that share it. How much each counts is learned: ridge regression of the factors of trained recordings on
the four means, each made without the recording itself, as it will be for one that is new. After Gantner et al. 2010, Learning attribute-to-feature
mappings for cold-start recommendations, with means in place of attributes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.als.factors import FACTORS, as_table, matrix

WIDE = 4096  # codes of tags and sound: their sums fit into one row
STRIPE = 65_536
GROUPS = 64  # of artists; part of the result, so fixed
KINDS = 4  # artist, album, tags, sound
SHRINK = 1.0  # recordings; a mean of one counts half
RIDGE = 1e-3  # of the mean diagonal: means that are alike must not cancel each other
Matrix = NDArray[np.float64]


def vectors(facts: DataFrame, trained: DataFrame, wanted: DataFrame) -> DataFrame:
    """`idx int, factors array<float>` of `wanted`; none where nothing was trained.

    Args:
        facts: `recording_facts`.
        trained: `idx int, factors array<float>`.
        wanted: rows of `recording_facts` that have no factors.
    """
    known = _coded(facts).join(trained.withColumnRenamed("idx", "recording_idx"), "recording_idx")
    rows = known.unionByName(_coded(wanted).withColumn("factors", F.lit(None).cast("array<float>")))
    rows = rows.withColumn("block", F.pmod(F.xxhash64("artist"), F.lit(GROUPS)).cast("int"))
    wide = _wide(known).crossJoin(rows.select(F.col("block").alias("of")).distinct())
    made = (
        rows.groupBy("block")
        .cogroup(wide.groupBy("of"))
        .applyInArrow(_explain, "block int, gram binary, right binary, idx binary, means binary")
    )
    learned = made.groupBy().agg(
        F.array_sort(F.collect_list(F.struct("block", "gram", "right"))).alias("sums")
    )
    return made.select("idx", "means").crossJoin(F.broadcast(learned)).mapInArrow(_apply, FACTORS)


def _coded(facts: DataFrame) -> DataFrame:
    """`recording_idx, artist, album, codes array<int>`: the last code is of the sound."""

    def code(text: Column) -> Column:
        return F.pmod(F.crc32(text), F.lit(WIDE)).cast("int")

    sound = F.when(F.col("tempo_band").isNull(), "no sound").otherwise(
        F.concat(F.lit("sound "), F.col("tempo_band").cast("string"))
    )
    tags = F.transform(F.coalesce("tags", F.array().cast("array<string>")), code)
    return facts.select(
        "recording_idx", "artist", "album", F.concat(tags, F.array(code(sound))).alias("codes")
    )


def _wide(known: DataFrame) -> DataFrame:
    """One row `wide array<struct<stripe, sums, counts>>`: Σ factors and how many, by code, float64."""
    stripe = F.floor(F.col("recording_idx") / STRIPE).cast("int").alias("stripe")
    parts = (
        known.select(stripe, "recording_idx", "codes", "factors")
        .groupBy("stripe")
        .applyInArrow(_sums, "stripe int, sums binary, counts binary")
    )
    return parts.groupBy().agg(
        F.array_sort(F.collect_list(F.struct("stripe", "sums", "counts"))).alias("wide")
    )


def _codes(rows: Any) -> tuple[Any, Any]:
    """(row, code) of every code."""
    lists = rows["codes"].combine_chunks()
    return np.repeat(np.arange(len(lists)), np.asarray(lists.value_lengths())), np.asarray(lists.flatten())


def _sums(rows: Any) -> Any:
    rows = rows.sort_by("recording_idx")
    y, (row, code) = matrix(rows["factors"]).astype(np.float64), _codes(rows)
    sums = np.zeros((WIDE, y.shape[1]))
    np.add.at(sums, code, y[row])
    counts = np.bincount(code, minlength=WIDE).astype(np.float64)
    return pa.table(
        {
            "stripe": rows["stripe"][:1],
            "sums": pa.array([sums.tobytes()]),
            "counts": pa.array([counts.tobytes()]),
        }
    )


def _explain(rows: Any, wide: Any) -> Any:
    """Of a group of artists: the normal equations of its trained recordings, and the means of those wanted."""
    parts = wide["wide"].combine_chunks().flatten()
    rows = rows.sort_by("recording_idx")
    trained = rows["factors"].is_valid().to_numpy()
    if not len(parts):
        return pa.table(
            {
                name: pa.array([], kind)
                for name, kind in (
                    ("block", pa.int32()),
                    *((n, pa.binary()) for n in ("gram", "right", "idx", "means")),
                )
            }
        )
    counts = np.add.reduce([np.frombuffer(one.as_buffer()) for one in parts.field("counts")])
    sums = np.add.reduce([np.frombuffer(one.as_buffer()).reshape(WIDE, -1) for one in parts.field("sums")])
    y = np.zeros((len(rows), sums.shape[1]))
    y[trained] = matrix(rows["factors"].filter(pa.array(trained))) if trained.any() else 0.0
    row, code = _codes(rows)
    own = y[row] * trained[row, None]
    near = (sums[code] - own) / (counts[code] - trained[row] + SHRINK)[:, None]
    sound = np.append(np.diff(row) > 0, True) if len(row) else np.empty(0, bool)
    means = np.zeros((len(rows), KINDS, y.shape[1]))
    np.add.at(means[:, 2], row[~sound], near[~sound])
    means[:, 2] /= np.maximum(np.bincount(row[~sound], minlength=len(rows)), 1)[:, None]
    means[row[sound], 3] = near[sound]
    for kind, name in enumerate(("artist", "album")):
        means[:, kind] = _without_itself(rows[name].to_numpy(), y, trained)
    a, b = means[trained], y[trained]
    gram, right = np.einsum("ikd,ild->kl", a, a), np.einsum("ikd,id->k", a, b)
    made = {
        "gram": gram,
        "right": right,
        "idx": rows["recording_idx"].to_numpy()[~trained].astype(np.int32),
        "means": means[~trained],
    }
    return pa.table(
        {"block": rows["block"][:1]}
        | {name: pa.array([np.ascontiguousarray(data).tobytes()], pa.binary()) for name, data in made.items()}
    )


def _without_itself(group: Any, y: Matrix, trained: Any) -> Matrix:
    """The mean of the other trained rows of the same group, drawn to 0."""
    _, member = np.unique(group, return_inverse=True)
    sums = np.zeros((member.max(initial=-1) + 1, y.shape[1]))
    np.add.at(sums, member[trained], y[trained])
    counts = np.bincount(member[trained], minlength=len(sums))
    mean: Matrix = (sums[member] - y * trained[:, None]) / (counts[member] - trained + SHRINK)[:, None]
    return mean


def _apply(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        for i in range(batch.num_rows):
            row = batch.slice(i, 1)
            parts = row["sums"].flatten()
            gram = np.add.reduce(
                [np.frombuffer(one.as_buffer()).reshape(KINDS, KINDS) for one in parts.field("gram")]
            )
            right = np.add.reduce([np.frombuffer(one.as_buffer()) for one in parts.field("right")])
            idx = np.frombuffer(row["idx"][0].as_buffer(), np.int32)
            if len(idx) and np.trace(gram) > 0:
                weights = np.linalg.solve(gram + RIDGE * np.trace(gram) / KINDS * np.eye(KINDS), right)
                means = np.frombuffer(row["means"][0].as_buffer()).reshape(len(idx), KINDS, -1)
                yield from as_table(idx, np.einsum("k,ikd->id", weights, means)).to_batches()
