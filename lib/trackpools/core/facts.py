"""`recording_facts`: of every recording the numbers and words that sources and blend look up."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.als.factors import matrix
from trackpools.core.audience import EVERYWHERE
from trackpools.core.features import is_version, preferred
from trackpools.core.shelf import AXES, TAGS

STRIPE = 65_536
GROUPS = 31  # tag groups that prompts are served by
TEMPI, POPULARITY = ("slow", "medium", "fast"), ("deep cut", "known", "hit")  # names of bands, from 0
KNOWN, HIT = 0.7, 0.95  # percentiles of listeners from which a recording is known, and a hit
SAME_MS = 3000  # recordings of one title and artist whose lengths differ by less are one song
# what a title says of the release, not of the song; live, acoustic or remix is another song
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
    """One row a recording; see `tables.RECORDING_FACTS`.

    Args:
        cards: `track_cards`, for the listeners everywhere.
        features: `recording_features`, for the first play.
        factors: `idx int, factors array<float>` of recordings.
        functional: `recording_idx, kind`: audio that is no taste.
        inflated: `recording_idx`: of bought plays.
    """
    known = preferred(tracks)
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
    """Deep cut, known or hit, as prompts ask; null where nobody listened."""
    known, hit = (
        F.lit(least).cast("float") for least in (KNOWN, HIT)
    )  # as the column is: 0.7 as a double is more
    band = F.when(F.col("popularity") < known, 0).when(F.col("popularity") < hit, 1).otherwise(2)
    return F.when(F.col("listeners") > 0, band).cast("byte").alias("popularity_band")


def _released() -> Column:
    """The first day of its rights, or that of its first play if that was in its year: an old song that somebody finds is not new."""
    return F.coalesce("begins", F.when(F.col("original_year") >= F.year("first_day"), F.col("first_day")))


def _numbered(rows: DataFrame) -> DataFrame:
    """Add `artist` and `album`: the least recording_idx of each, the own one where unknown."""
    own = F.concat(F.lit("\x00"), F.col("recording_idx").cast("string"))
    for column, name in (("artist_id", "artist"), ("album_id", "album")):
        # an unknown one is alone, and not in one partition with all others
        rows = rows.withColumn(name, F.min("recording_idx").over(Window.partitionBy(F.coalesce(column, own))))
    return rows


def _songs(rows: DataFrame) -> DataFrame:
    """Add `song`: of recordings of one artist, one title and one length, give or take 3 s, the recording_idx of the preferred one."""
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
    choice = F.struct(is_version().alias("v"), (-F.col("listeners")).alias("l"), "recording_idx")
    return parted.withColumn(
        "song", F.min(choice).over(Window.partitionBy("_name", "_part"))["recording_idx"]
    ).drop("_name", "_gap", "_part")


def _grouped(rows: DataFrame) -> DataFrame:
    """Add `tag_group` and `group_name`: the one of its tags that most recordings bear, if that is among the 31 that most bear."""
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
    """`idx int, sketch binary`: factors on the main axes of all of them, of unit length there, int8, × 127; of fewer axes than 16 the rest is 0."""
    stripe = F.floor(F.col("idx") / STRIPE).cast("int").alias("stripe")
    rows = factors.select(stripe, "idx", "factors")
    grams = rows.groupBy("stripe").applyInArrow(_gram, "stripe int, gram binary")
    every = grams.groupBy().agg(F.array_sort(F.collect_list(F.struct("stripe", "gram"))).alias("grams"))
    axes = every.mapInArrow(_axes, "axes binary")
    return rows.crossJoin(F.broadcast(axes)).mapInArrow(_project, "idx int, sketch binary")


def _unit(column: Any) -> NDArray[np.float64]:
    x = matrix(column).astype(np.float64)
    norm = np.sqrt((x * x).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = x / np.where(norm > 0, norm, 1.0)
    return unit


def _gram(rows: Any) -> Any:
    x = _unit(rows.sort_by("idx")["factors"])
    return pa.table({"stripe": rows["stripe"][:1], "gram": pa.array([(x.T @ x).tobytes()], pa.binary())})


def _axes(batches: Any) -> Any:
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
    for batch in batches:
        x = _unit(batch["factors"])
        if not len(x):
            continue
        axes = np.frombuffer(batch["axes"][0].as_buffer()).reshape(x.shape[1], -1)
        # einsum and not a GEMM, whose sums depend on how many rows there are
        near = np.einsum("ir,ra->ia", x, axes)
        # of unit length again: else what lies off the axes would seem unlike everything
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
