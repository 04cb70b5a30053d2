"""Unheard recordings of loved artists, and of artists who have the same listeners."""

from typing import Any

import numpy as np
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.listeners import Listeners, Seeds, summed
from trackpools.core.sources.pairing import shrunk_lift
from trackpools.core.sources.ranking import by_rank, ranked
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading

ARTISTS = 40  # of a listener that count for what goes with what


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By artist: its most heard recordings, and those of the artists most related to it; these count half as much times how related they are."""
    within = Window.partitionBy("artist").orderBy(F.desc("listeners"), "recording_idx")
    works = inputs.facts.select(
        "artist", F.col("recording_idx").alias("recording"), F.row_number().over(within).alias("place")
    )
    own = works.where(F.col("place") <= settings.own).select(
        F.col("artist").alias("key"), "recording", by_rank(F.col("place")).alias("score")
    )
    few = works.where(F.col("place") <= settings.of_related).select(
        F.col("artist").alias("b"), "recording", by_rank(F.col("place")).alias("near")
    )
    theirs = (
        _related(inputs, settings)
        .join(few, "b")
        .select(F.col("a").alias("key"), "recording", (0.5 * F.col("related") * F.col("near")).alias("score"))
    )
    rows = own.unionByName(theirs).select(
        F.col("key").cast("long").alias("key"), "recording", F.col("score").cast("float").alias("score")
    )
    return ranked(rows, settings.own + settings.related * settings.of_related)


def _related(inputs: ListInputs, settings: Any) -> DataFrame:
    """`a, b, related`: the artists of greatest shrunk lift among the loved ones of the same listeners, as shares of the greatest."""
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


def seeds(listeners: Listeners, settings: Any) -> Seeds:
    """The artists of most weight; each counts by the root of its share of the first one's, so that the first does not take all."""
    user, artist, weight = summed(listeners.owner, listeners.facts.artist.astype(np.int64), listeners.weight)
    top = leading(user, weight, artist, settings.seeds)
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
