"""The source `popular`: the most heard recordings of the user's market, overall and by tag and decade.

It also serves users without a history. For all others, it complements the other sources.
"""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config.sources import PopularSourceConfig
from trackpools.core.arrays.recording_table import tag_code
from trackpools.core.sources.chart_keys import DECADES, EVERYTHING, chart_key, chart_keys
from trackpools.core.sources.ranked_lists import rank_by_key
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import Seeds, UserBlock, sum_by_key, tag_profile
from trackpools.core.topk.exact import top_k_rows

PART = 4  # the chart of all recordings is this many times longer than the chart of a tag or a decade
DECLARED = 1.0  # the weight that a declared tag adds to the tag profile: that of one loved recording


def lists(inputs: ListInputs, settings: PopularSourceConfig) -> DataFrame:
    """Build the charts of each market and explicit policy: of all recordings, by tag, and by decade.

    A chart is ordered by listeners in the market, then by listeners everywhere, then by idx. So the charts of
    a small market are filled up with what is popular everywhere. Non-taste audio and recordings inflated by
    bots are in no chart.

    Returns:
        `key long` (`chart_keys.chart_key`), `recordings binary, scores binary`.
    """
    charts = chart_rows(inputs)
    tags = charts.select("*", F.explode("tags").alias("tag")).withColumn("what", tag_code(F.col("tag")))
    decades = charts.where("decade IS NOT NULL").withColumn(
        "what", DECADES + F.floor((F.col("decade") - 1900) / 10)
    )
    order = F.desc("listeners"), F.desc_nulls_last("world"), F.col("recording")
    of_all = rank_by_key(_keyed(charts.withColumn("what", F.lit(EVERYTHING))), settings.list_length, *order)
    return of_all.unionByName(
        rank_by_key(_keyed(tags).unionByName(_keyed(decades)), max(1, settings.list_length // PART), *order)
    )


def chart_rows(inputs: ListInputs) -> DataFrame:
    """Return the music that may be played in each market under each explicit policy.

    Returns:
        `market, clean, recording, listeners, world, tags, decade`, one row for each market, policy and
        recording. `clean` is the policy; `listeners` counts listeners in the market and `world` everywhere.
        Non-taste audio and recordings inflated by bots are left out.
    """
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


def seeds(listeners: UserBlock, settings: PopularSourceConfig) -> Seeds:
    """Select the chart of each user's market, and the charts of the user's main tags and decades.

    The chart of all recordings has weight 1. The chart of a tag has the tag's share in the user's tag
    profile; the chart of a decade has the decade's share of the weight of all recordings of known decade.
    """
    users = np.arange(listeners.users)
    tag_user, tag, tag_share = tag_profile(listeners, DECLARED)
    of, decade = listeners.owner, listeners.facts.decade.astype(np.int64)
    known = (decade > 0) & (listeners.weight > 0)
    decade_user, when, weight = sum_by_key(of[known], DECADES + decade[known] - 1, listeners.weight[known])
    share = weight / np.bincount(decade_user, weight, minlength=listeners.users)[decade_user]
    parts = [(users, np.full(listeners.users, EVERYTHING), np.ones(listeners.users))]
    for owner, what, value, n in (
        (tag_user, tag, tag_share, settings.tags),
        (decade_user, when, share, settings.decades),
    ):
        top = top_k_rows(owner, value, what, n)
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
