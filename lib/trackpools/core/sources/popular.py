"""The most heard recordings of the listener's market, of tags and decades there: the answer for whoever is new, and company for everybody else."""

from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.shelf import tag_code
from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.keys import DECADES, EVERYTHING, chart_key, chart_keys
from trackpools.core.sources.listeners import Listeners, Seeds, summed, tag_profile
from trackpools.core.sources.ranking import ranked
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading

PART = 4  # a chart of a tag or decade is so many times shorter than that of all
DECLARED = 1.0  # what a declared tag weighs, in recordings loved


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """Charts of what may be played, by market and policy: of all, of a tag, of a decade.

    By listeners in the market, then everywhere, then idx: a market of few listeners is filled from the world. What is no taste is in no chart.
    """
    charts = charted(inputs)
    tags = charts.select("*", F.explode("tags").alias("tag")).withColumn("what", tag_code(F.col("tag")))
    decades = charts.where("decade IS NOT NULL").withColumn(
        "what", DECADES + F.floor((F.col("decade") - 1900) / 10)
    )
    order = F.desc("listeners"), F.desc_nulls_last("world"), F.col("recording")
    of_all = ranked(_keyed(charts.withColumn("what", F.lit(EVERYTHING))), settings.list_length, *order)
    return of_all.unionByName(
        ranked(_keyed(tags).unionByName(_keyed(decades)), max(1, settings.list_length // PART), *order)
    )


def charted(inputs: ListInputs) -> DataFrame:
    """`market, clean, recording, listeners, world, tags, decade`: what may be played where and by whom, and is music."""
    facts = inputs.facts.where("functional IS NULL AND NOT inflated").select(
        "recording_idx", F.col("listeners").alias("world"), "tags", "decade"
    )
    cards = inputs.cards.join(facts, "recording_idx")
    policies = ((False, "track_id"), (True, "clean_track_id"))
    may = F.filter(
        F.array(*(F.when(F.col(track).isNotNull(), F.lit(clean)) for clean, track in policies)),
        lambda clean: clean.isNotNull(),
    )
    kept = (
        "market",
        F.col("recording_idx").alias("recording"),
        cards["listeners"],
        "world",
        facts["tags"],
        "decade",
    )
    return cards.select(*kept, F.explode(may).alias("clean"))


def _keyed(rows: DataFrame) -> DataFrame:
    return rows.select(
        chart_key(F.col("market"), F.col("clean"), F.col("what")).alias("key"),
        "recording",
        "listeners",
        "world",
    )


def seeds(listeners: Listeners, settings: Any) -> Seeds:
    """The market's chart, and those of the tags and decades of most weight as much as these are a share of it."""
    users = np.arange(listeners.users)
    tag_user, tag, tag_share = tag_profile(listeners, DECLARED)
    of, decade = listeners.owner, listeners.facts.decade.astype(np.int64)
    known = (decade > 0) & (listeners.weight > 0)
    decade_user, when, weight = summed(of[known], DECADES + decade[known] - 1, listeners.weight[known])
    share = weight / np.bincount(decade_user, weight, minlength=listeners.users)[decade_user]
    parts = [(users, np.full(listeners.users, EVERYTHING), np.ones(listeners.users))]
    for owner, what, value, n in (
        (tag_user, tag, tag_share, settings.tags),
        (decade_user, when, share, settings.decades),
    ):
        top = leading(owner, value, what, n)
        parts.append((owner[top], what[top], value[top]))
    user, what, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    user, what, value = user[order], what[order], value[order]
    return Seeds(user, chart_keys(listeners.market[user], listeners.clean[user], what), value)


SOURCE = Source(
    "popular",
    1,
    "both",
    "number {n} in your market",
    "played {n} × and heard in your market",
    lists=lists,
    seeds=seeds,
)
