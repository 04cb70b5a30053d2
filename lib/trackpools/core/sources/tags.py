"""By the listener's tags, played or declared: also what few have heard, where a chart holds hits."""

from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from trackpools.core.shelf import tag_code
from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.listeners import Listeners, Seeds, tag_profile
from trackpools.core.sources.ranking import ranked
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading

DECLARED = 1.0  # what a declared tag weighs, in recordings loved


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By tag: recordings by how much they are of it and how many heard them, times the tag's idf: a tag that all bear says nothing."""
    music = inputs.facts.where("functional IS NULL AND NOT inflated")
    every = music.groupBy().agg(F.count(F.lit(1)).alias("n"))
    rows = music.select(F.col("recording_idx").alias("recording"), "listeners", F.size("tags").alias("tags"), F.explode("tags").alias("tag"))
    one = Window.partitionBy("tag")
    heard = F.log1p("listeners") / F.greatest(F.max(F.log1p("listeners")).over(one), F.lit(1.0))
    idf = F.log1p(F.col("n") / F.count(F.lit(1)).over(one))
    share = F.lit(settings.popularity)
    scored = rows.crossJoin(F.broadcast(every)).select(
        tag_code(F.col("tag")).cast("long").alias("key"), "recording", (idf * (share * heard + (1 - share) / F.col("tags"))).cast("float").alias("score"))
    return ranked(scored, settings.list_length)


def seeds(listeners: Listeners, settings: Any) -> Seeds:
    """The tags of greatest share in the listener's profile."""
    user, tag, share = tag_profile(listeners, DECLARED)
    top = leading(user, share, tag, settings.tags)
    return Seeds(user[top], tag[top], share[top])


SOURCE = Source("tags", 7, "new", "number {n} of your kinds of music", "played {n} × and of your kinds of music", lists=lists, seeds=seeds)
