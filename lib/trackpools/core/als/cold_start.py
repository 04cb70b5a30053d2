"""Compute factors for recordings without plays, from their artist, album, tags and sound.

For each of these four, the mean factors of the trained recordings that share it with the new recording are
computed. The factors of the new recording are the weighted sum of the four means. The four weights are
learned from the trained recordings, by a ridge regression of their factors on their own four means. In these
means, the recording itself is left out, because a new recording is not in its means either. This follows
Gantner et al. 2010, Learning attribute-to-feature mappings for cold-start recommendations, with means in
place of attributes.

Tags and sound (the tempo band) are represented by codes, which are hashes of their names.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.als.factors import FACTORS, as_table, factor_matrix
from trackpools.core.arrays.array_types import Float64Array

N_CODES = 4096  # number of codes; so few that the sums of factors by code fit into one row
STRIPE = 65_536  # recordings whose factors one task adds up
GROUPS = 64  # groups of artists; the result depends on this number, so it is fixed
KINDS = 4  # number of means: artist, album, tags, sound
# A sum of factors is divided by the number of recordings + SHRINK. So the mean of a single recording is half
# of its factors.
SHRINK = 1.0
# The ridge, as a share of the mean diagonal element of the Gram matrix. Without it, similar means could get
# large weights of opposite signs.
RIDGE = 1e-3


def cold_start_vectors(facts: DataFrame, trained: DataFrame, wanted: DataFrame) -> DataFrame:
    """Compute the factors of recordings that were not trained.

    Args:
        facts: `recording_facts` of all recordings.
        trained: `idx int, factors array<float>` of the trained recordings.
        wanted: the rows of `recording_facts` whose factors are to be computed; none of them may be trained.

    Returns:
        `idx int, factors array<float>`, one row for each row of `wanted`; no rows if nothing was trained.
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
    """Return `recording_idx, artist, album, codes array<int>`: codes of the tags, then of the sound."""

    def code(text: Column) -> Column:
        return F.pmod(F.crc32(text), F.lit(N_CODES)).cast("int")

    sound = F.when(F.col("tempo_band").isNull(), "no sound").otherwise(
        F.concat(F.lit("sound "), F.col("tempo_band").cast("string"))
    )
    tags = F.transform(F.coalesce("tags", F.array().cast("array<string>")), code)
    return facts.select(
        "recording_idx", "artist", "album", F.concat(tags, F.array(code(sound))).alias("codes")
    )


def _wide(known: DataFrame) -> DataFrame:
    """Add up the factors of the trained recordings by code.

    Returns:
        One row `wide array<struct<stripe int, sums binary, counts binary>>`, with one struct for each stripe
        of recordings. `sums` is float64 [N_CODES, rank]; `counts`, float64 [N_CODES], says how many were
        added.
    """
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
    """Return all codes of all rows, as two arrays: the row of each code, and the code."""
    lists = rows["codes"].combine_chunks()
    return np.repeat(np.arange(len(lists)), np.asarray(lists.value_lengths())), np.asarray(lists.flatten())


def _sums(rows: Any) -> Any:
    rows = rows.sort_by("recording_idx")
    y, (row, code) = factor_matrix(rows["factors"]).astype(np.float64), _codes(rows)
    sums = np.zeros((N_CODES, y.shape[1]))
    np.add.at(sums, code, y[row])
    counts = np.bincount(code, minlength=N_CODES).astype(np.float64)
    return pa.table(
        {
            "stripe": rows["stripe"][:1],
            "sums": pa.array([sums.tobytes()]),
            "counts": pa.array([counts.tobytes()]),
        }
    )


def _explain(rows: Any, wide: Any) -> Any:
    """Compute the normal equations of the regression, for one group of artists.

    Args:
        rows: Arrow table of the group's recordings, trained and wanted; the factors of wanted ones are null.
        wide: the row of `_wide`.

    Returns:
        One row: `block`, the group; `gram` float64 [KINDS, KINDS] and `right` float64 [KINDS], the equations
        of the trained recordings; `idx` int32 and `means` float64 [wanted, KINDS, rank] of the wanted
        recordings. There are no rows if nothing was trained.
    """
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
    sums = np.add.reduce([np.frombuffer(one.as_buffer()).reshape(N_CODES, -1) for one in parts.field("sums")])
    y = np.zeros((len(rows), sums.shape[1]))
    y[trained] = factor_matrix(rows["factors"].filter(pa.array(trained))) if trained.any() else 0.0
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


def _without_itself(group: Any, y: Float64Array, trained: Any) -> Float64Array:
    """Return, for each row, the mean factors of the other trained rows of its group, float64 [rows, rank].

    The mean is shrunk towards 0, see SHRINK.

    Args:
        group: the group of each row.
        y: factors [rows, rank]; 0 in rows that are not trained.
        trained: bool [rows].
    """
    _, member = np.unique(group, return_inverse=True)
    sums = np.zeros((member.max(initial=-1) + 1, y.shape[1]))
    np.add.at(sums, member[trained], y[trained])
    counts = np.bincount(member[trained], minlength=len(sums))
    mean: Float64Array = (sums[member] - y * trained[:, None]) / (counts[member] - trained + SHRINK)[:, None]
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
