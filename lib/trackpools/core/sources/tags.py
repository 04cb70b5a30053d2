"""By the listener's tags, played or declared: what is probably heard next by who hears so much of each."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.shelf import tag_code
from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.listeners import Listeners, Seeds, tag_profile
from trackpools.core.sources.ranking import ranked
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading

DECLARED = 1.0  # what a declared tag weighs, in recordings loved
PARTS = 1_000_000  # of a listener


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By tag: recordings by their share of what is heard of it.

    With the shares of tags in a profile as weights, the score of a recording is Σ P(tag | listener) · P(recording | tag): a mixture of unigram models. A
    recording counts for each of its tags in equal parts, and a tag that all bear gives each of them next to nothing.
    """
    music = inputs.facts.where("functional IS NULL AND NOT inflated")
    heard = F.pow(F.col("listeners") + 1.0, F.lit(settings.popularity)) / F.size("tags")
    # whole numbers: a sum of doubles depends on the order of its parts
    rows = music.select(
        F.col("recording_idx").alias("recording"),
        F.round(heard * PARTS).cast("long").alias("heard"),
        F.explode("tags").alias("tag"),
    )
    totals = rows.groupBy("tag").agg(F.sum("heard").alias("total"))
    share = (F.col("heard") / F.col("total")).cast("float").alias("score")
    scored = rows.join(totals, "tag").select(
        tag_code(F.col("tag")).cast("long").alias("key"), "recording", share
    )
    return ranked(scored, settings.list_length)


def seeds(listeners: Listeners, settings: Any) -> Seeds:
    """The tags of greatest share in the listener's profile."""
    user, tag, share = tag_profile(listeners, DECLARED)
    top = leading(user, share, tag, settings.tags)
    return Seeds(user[top], tag[top], share[top])


SOURCE = Source(
    "tags",
    7,
    "new",
    "number {n} of your kinds of music",
    "played {n} × and of your kinds of music",
    lists=lists,
    seeds=seeds,
    keyed="tag",
)
