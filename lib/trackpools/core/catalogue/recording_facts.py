"""Build `recording_facts`: the facts that sources and the blend look up for each recording."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.als.factors import factor_matrix
from trackpools.core.arrays.recording_table import AXES, TAGS
from trackpools.core.catalogue.features import preferred_tracks, version_order
from trackpools.core.log.audience import EVERYWHERE

STRIPE = 65_536  # recordings (consecutive numbers) whose Gram matrix is computed in one Arrow group
GROUPS = 31  # number of tag groups; each is one of the most common tags, see `_grouped`
# Names of the tempo bands and of the popularity bands; a band's number is its position here.
TEMPI, POPULARITY = ("slow", "medium", "fast"), ("deep cut", "known", "hit")
# The least percentile of listeners (0 to 1) of a known recording, and of a hit.
MIN_KNOWN_PERCENTILE, HIT = 0.7, 0.95
SAME_MS = 3000  # milliseconds; the greatest step in length between recordings of one song, see `_songs`
# Words in a title that describe the edition rather than the song. Live, acoustic and remix are not among
# them, because such versions are other songs.
WORDS = "remaster(ed)?|mono|stereo|deluxe|expanded|bonus|anniversary|single|album|radio edit|explicit|clean|feat\\.?|ft\\.?|original"
EDITION = rf"\s*[\(\[\-]\s*[^\(\)\[\]\-]*\b({WORDS})\b[^\(\)\[\]]*[\)\]]?"


def recording_facts(
    tracks: DataFrame,
    recording_ids: DataFrame,
    *,
    cards: DataFrame,
    features: DataFrame,
    factors: DataFrame,
    functional: DataFrame,
    inflated: DataFrame,
) -> DataFrame:
    """Compute `tables.RECORDING_FACTS`, one row for each recording.

    Args:
        tracks: the catalogue, as `tables.TRACKS`.
        recording_ids: `recording_id, recording_idx` of all recordings.
        cards: rows of `track_cards`; those of market `*` give the listeners and popularity over all markets.
        features: rows of `recording_features`, for the day of the first play.
        factors: `idx int, factors array<float>` of the recordings that have factors.
        functional: `recording_idx, kind` of non-taste audio.
        inflated: `recording_idx` of recordings whose plays look bought.
    """
    known = preferred_tracks(tracks)
    begins = F.array_min(F.transform("rights", lambda right: right["from"]))
    told = recording_ids.join(known, "recording_id", "left").select(
        "recording_idx",
        F.try_element_at("artist_ids", F.lit(1)).alias("artist_id"),
        "album_id",
        "original_year",
        "tempo",
        "title",
        "duration_ms",
        F.coalesce("tags", F.array().cast("array<string>")).alias("tags"),
        "version_kind",
        begins.alias("begins"),
    )
    world = cards.where(F.col("market") == EVERYWHERE).select(
        "recording_idx", "listeners", _popularity_band()
    )
    rows = (
        told.join(world, "recording_idx", "left")
        .fillna({"listeners": 0})
        .join(features.select("recording_idx", "first_day"), "recording_idx", "left")
    )
    rows = _grouped(_songs(_numbered(rows)))
    rows = rows.join(
        functional.select("recording_idx", F.col("kind").alias("functional")), "recording_idx", "left"
    )
    rows = rows.join(
        inflated.select("recording_idx", F.lit(True).alias("inflated")), "recording_idx", "left"
    ).fillna({"inflated": False})
    rows = rows.join(sketches(factors).withColumnRenamed("idx", "recording_idx"), "recording_idx", "left")
    tempo = F.when(F.col("tempo") < 100, 0).when(F.col("tempo") <= 130, 1).when(F.col("tempo").isNotNull(), 2)
    return rows.withColumns(
        {
            "decade": (F.floor(F.col("original_year") / 10) * 10).cast("short"),
            "tempo_band": tempo.cast("byte"),
            "tags": F.slice("tags", 1, TAGS),
            "released": _released(),
        }
    )


def _popularity_band() -> Column:
    """Return the popularity band: its position in `POPULARITY` (byte); null without listeners."""
    # The limits are floats like the column, because 0.7 as a double is greater than 0.7 as a float.
    known, hit = (F.lit(least).cast("float") for least in (MIN_KNOWN_PERCENTILE, HIT))
    band = F.when(F.col("popularity") < known, 0).when(F.col("popularity") < hit, 1).otherwise(2)
    return F.when(F.col("listeners") > 0, band).cast("byte").alias("popularity_band")


def _released() -> Column:
    """Return the day of release: the first day of the rights, else the day of the first play, else null.

    The day of the first play counts only if its year is not after the original year, because an old song that
    a user discovers is not new.
    """
    return F.coalesce("begins", F.when(F.col("original_year") >= F.year("first_day"), F.col("first_day")))


def _numbered(rows: DataFrame) -> DataFrame:
    """Add `artist` and `album` as numbers: the lowest `recording_idx` of the main artist and of the album.

    If the artist or the album is unknown, the number is the recording's own `recording_idx`.
    """
    own = F.concat(F.lit("\x00"), F.col("recording_idx").cast("string"))
    for column, name in (("artist_id", "artist"), ("album_id", "album")):
        # Each recording without an id is a group of its own; otherwise, all of them would be in one
        # partition.
        rows = rows.withColumn(name, F.min("recording_idx").over(Window.partitionBy(F.coalesce(column, own))))
    return rows


def _songs(rows: DataFrame) -> DataFrame:
    """Add `song`, the `recording_idx` of the preferred recording among those of the same song.

    Recordings with the same artist and title (without words such as "remastered") are sorted by length. Where
    one is more than `SAME_MS` longer than the one before, another song begins. A recording without an artist,
    a title or a length is a song of its own. An original (or a recording of unknown kind) is preferred, then
    the recording with the most listeners, then the one with the lowest `recording_idx`.
    """
    words = F.regexp_replace(F.regexp_replace(F.lower("title"), EDITION, ""), r"[^\p{L}\p{N}]+", "")
    own = F.col("recording_idx").cast("string")
    known = F.col("artist_id").isNotNull() & F.col("duration_ms").isNotNull() & (F.length(words) > 0)
    name = F.when(known, F.concat_ws("\x00", F.lit("song"), "artist_id", words)).otherwise(own)
    by_length = Window.partitionBy("_name").orderBy("duration_ms", "recording_idx")
    gap = F.coalesce(F.col("duration_ms") - F.lag("duration_ms").over(by_length) > SAME_MS, F.lit(True))
    parted = (
        rows.withColumn("_name", name)
        .withColumn("_gap", gap.cast("int"))
        .withColumn("_part", F.sum("_gap").over(by_length))
    )
    choice = F.struct(version_order().alias("v"), (-F.col("listeners")).alias("l"), "recording_idx")
    return parted.withColumn(
        "song", F.min(choice).over(Window.partitionBy("_name", "_part"))["recording_idx"]
    ).drop("_name", "_gap", "_part")


def _grouped(rows: DataFrame) -> DataFrame:
    """Add `tag_group` and `group_name`: the number and the name of the recording's tag group.

    The tag groups are the 31 most common tags, numbered from 1 for the most common one. A recording belongs
    to the group of the most common of its tags. Both columns are null if it has none of the 31 tags.
    """
    counted = rows.select(F.explode("tags").alias("tag")).groupBy("tag").count()
    top = counted.orderBy(F.desc("count"), "tag").limit(GROUPS)
    listed = top.groupBy().agg(
        F.array_sort(F.collect_list(F.struct((-F.col("count")).alias("n"), "tag"))).alias("_top")
    )
    names = F.transform("_top", lambda one: one["tag"])
    rows = rows.crossJoin(F.broadcast(listed.select(names.alias("_names"))))
    place = F.array_min(
        F.filter(F.transform("tags", lambda tag: F.array_position("_names", tag)), lambda at: at > 0)
    )
    return (
        rows.withColumn("tag_group", place.cast("byte"))
        .withColumn("group_name", F.try_element_at("_names", place.cast("int")))
        .drop("_names")
    )


def sketches(factors: DataFrame) -> DataFrame:
    """Compress the factors of each recording to a sketch of 16 small numbers.

    A sketch is the projection of the factors on the 16 main axes: the eigenvectors with the greatest
    eigenvalues of the Gram matrix of all factors, where each recording's factors have unit length.

    Args:
        factors: `idx int, factors array<float>`.

    Returns:
        One row for each row of `factors`: `idx int, sketch binary`. A sketch has 16 int8 numbers: the
        projection, scaled to unit length, × 127. If the factors have fewer than 16 dimensions, the last
        numbers are 0.
    """
    stripe = F.floor(F.col("idx") / STRIPE).cast("int").alias("stripe")
    rows = factors.select(stripe, "idx", "factors")
    grams = rows.groupBy("stripe").applyInArrow(_gram, "stripe int, gram binary")
    every = grams.groupBy().agg(F.array_sort(F.collect_list(F.struct("stripe", "gram"))).alias("grams"))
    axes = every.mapInArrow(_axes, "axes binary")
    return rows.crossJoin(F.broadcast(axes)).mapInArrow(_project, "idx int, sketch binary")


def _unit(column: Any) -> NDArray[np.float64]:
    """Return the factors of an Arrow column at unit length, float64 [rows, rank]; zeros stay zeros."""
    x = factor_matrix(column).astype(np.float64)
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = x / np.where(norm > 0, norm, 1.0)
    return unit


def _gram(rows: Any) -> Any:
    """Return the Gram matrix (float64 [rank, rank]) of one stripe, as an Arrow row `stripe, gram`."""
    x = _unit(rows.sort_by("idx")["factors"])
    return pa.table({"stripe": rows["stripe"][:1], "gram": pa.array([(x.T @ x).tobytes()], pa.binary())})


def _axes(batches: Any) -> Any:
    """Compute the main axes from the sum of all Gram matrices.

    The sign of an axis is chosen so that its entry of greatest absolute value is positive. The result is one
    row with the binary column `axes`, float64 [rank, 16 or fewer].
    """
    for batch in batches:
        parts = batch["grams"].flatten().field("gram")
        if len(parts):
            flat = np.add.reduce([np.frombuffer(part.as_buffer()) for part in parts])
            rank = int(len(flat) ** 0.5)
            _, vectors = np.linalg.eigh(flat.reshape(rank, rank))
            top = vectors[:, ::-1][:, :AXES]
            signs = np.sign(top[np.abs(top).argmax(axis=0), np.arange(top.shape[1])])
            yield pa.RecordBatch.from_pydict(
                {"axes": pa.array([np.ascontiguousarray(top * signs).tobytes()], pa.binary())}
            )


def _project(batches: Any) -> Any:
    """Project the factors of each batch on the axes, and yield the projections as int8: `idx, sketch`."""
    for batch in batches:
        x = _unit(batch["factors"])
        if not len(x):
            continue
        axes = np.frombuffer(batch["axes"][0].as_buffer()).reshape(x.shape[1], -1)
        # einsum instead of a BLAS product, because the rounding of the latter depends on the number of rows.
        near = np.einsum("ir,ra->ia", x, axes)
        # Normalise again: otherwise, a vector far from all axes would look unlike every other vector.
        found = np.rint(
            127 * near / np.maximum(np.sqrt((near * near).sum(axis=1, keepdims=True)), 1e-9)
        ).astype(np.int8)
        made = np.zeros((len(x), AXES), np.int8)
        made[:, : found.shape[1]] = found
        yield pa.RecordBatch.from_pydict(
            {
                "idx": batch["idx"],
                "sketch": pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(AXES), len(made), [None, pa.py_buffer(made)]
                ).cast(pa.binary()),
            }
        )
