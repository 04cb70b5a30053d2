"""The source `artist_graph`: new recordings of loved artists, and of artists loved by the same users."""

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config.sources import ArtistGraphSourceConfig
from trackpools.core.sources.item_pairs import shrunk_lift
from trackpools.core.sources.ranked_lists import rank_by_key, rank_score
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import Seeds, UserBlock, sum_by_key
from trackpools.core.topk.exact import top_k_rows

ARTISTS = 40  # the most loved artists of each user, from which pairs of related artists are counted


def lists(inputs: ListInputs, settings: ArtistGraphSourceConfig) -> DataFrame:
    """List, for each artist, the artist's most heard recordings and those of the most related artists.

    The score of a recording is `ranked_lists.rank_score` of its rank among its artist's recordings by
    listeners. For a recording of a related artist, the score is multiplied by half of `related` (see
    `_related`).

    Returns:
        `key long` (the artist), `recordings binary, scores binary`.
    """
    within = Window.partitionBy("artist").orderBy(F.desc("listeners"), "recording_idx")
    works = inputs.facts.select(
        "artist", F.col("recording_idx").alias("recording"), F.row_number().over(within).alias("place")
    )
    own = works.where(F.col("place") <= settings.own).select(
        F.col("artist").alias("key"), "recording", rank_score(F.col("place")).alias("score")
    )
    few = works.where(F.col("place") <= settings.of_related).select(
        F.col("artist").alias("b"), "recording", rank_score(F.col("place")).alias("near")
    )
    theirs = (
        _related(inputs, settings)
        .join(few, "b")
        .select(F.col("a").alias("key"), "recording", (0.5 * F.col("related") * F.col("near")).alias("score"))
    )
    rows = own.unionByName(theirs).select(
        F.col("key").cast("long").alias("key"), "recording", F.col("score").cast("float").alias("score")
    )
    return rank_by_key(rows, settings.own + settings.related * settings.of_related)


def _related(inputs: ListInputs, settings: ArtistGraphSourceConfig) -> DataFrame:
    """Find for each artist `a` the artists `b` that the same users love, by shrunk lift.

    The pairs are counted among the ARTISTS artists of greatest weight of each user.

    Returns:
        `a, b, related`, at most `settings.related` rows for each `a`. `related` is the shrunk lift of the
        pair, divided by the greatest one of `a`.
    """
    loved = (
        inputs.interactions.join(inputs.facts.select("recording_idx", "artist"), "recording_idx")
        .groupBy("user_idx", "artist")
        .agg(F.sum(F.col("weight").cast("decimal(20,6)")).alias("weight"))
    )
    most = Window.partitionBy("user_idx").orderBy(F.desc("weight"), "artist")
    top = loved.withColumn("_n", F.row_number().over(most)).where(F.col("_n") <= ARTISTS)
    rows = top.select("user_idx", F.lit(0).alias("window"), F.col("artist").alias("item"))
    scored = shrunk_lift(rows, ARTISTS, settings.shrink)
    near, one = Window.partitionBy("a").orderBy(F.desc("score"), "b"), Window.partitionBy("a")
    placed = scored.select(
        "a",
        "b",
        F.row_number().over(near).alias("place"),
        (F.col("score") / F.max("score").over(one)).alias("related"),
    )
    return placed.where(F.col("place") <= settings.related).drop("place")


def seeds(listeners: UserBlock, settings: ArtistGraphSourceConfig) -> Seeds:
    """Select each user's artists of greatest weight.

    The weight of a seed is √(weight of the artist / weight of the user's first artist). The root keeps the
    first artist from taking all places.
    """
    user, artist, weight = sum_by_key(
        listeners.owner, listeners.facts.artist.astype(np.int64), listeners.weight
    )
    top = top_k_rows(user, weight, artist, settings.seeds)
    top = top[weight[top] > 0]
    first = np.searchsorted(user[top], user[top], side="left")
    return Seeds(
        user[top], artist[top], np.sqrt(weight[top] / weight[top][first]) if len(top) else weight[top]
    )


SOURCE = Source(
    "artist_graph",
    4,
    "new",
    "number {n} by artists you love or who are near them",
    "played {n} × and by artists you love",
    lists=lists,
    seeds=seeds,
    keyed="artist",
)
