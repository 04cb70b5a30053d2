"""The source `explore`: recordings drawn by lot. Only these can show what all other sources miss.

For each market and explicit policy, a list is drawn with the date of `as_of`; the release pins it. From this
list, `k` recordings are drawn for each user, again by that date. All recordings of the list that the user has
neither heard nor blocked are equally likely to be drawn. If there are `lot_size` of them, each has the
probability `k / lot_size`, or 1 if there are fewer than `k`.

Of the drawn recordings, those that no other source proposes are explored candidates. The blend gives some
places of the pool to them, and each is equally likely to get one. So the propensity of an explored candidate
is P(drawn) · P(chosen | drawn). For most pools this is nearly the number of places for explored candidates
divided by the number of recordings in the list that could have got these places.
"""

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config.sources import ExploreSourceConfig
from trackpools.core.sources.chart_keys import EVERYTHING, chart_key, chart_keys
from trackpools.core.sources.popular import chart_rows
from trackpools.core.sources.ranked_lists import rank_by_key
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import Seeds, UserBlock

BIT = 9


def lists(inputs: ListInputs, settings: ExploreSourceConfig) -> DataFrame:
    """Draw a list of recordings for each market and explicit policy.

    Recordings with fewer than `rules.min_listeners` listeners are left out. The draw changes with the date of
    `as_of`. The list holds only one version of each song: the original if it may be played, else a random
    one. The blend keeps only one version of a song, too. If two versions could be drawn, one would exclude
    the other, and they would be less likely to be chosen than other recordings.

    Returns:
        `key long` (`chart_keys.chart_key` with the subject EVERYTHING), `recordings binary, scores binary`.
    """
    rows = chart_rows(inputs).where(F.col("world") >= inputs.config.rules.min_listeners)
    of_song = inputs.facts.select(F.col("recording_idx").alias("recording"), "song")
    key = chart_key(F.col("market"), F.col("clean"), F.lit(EVERYTHING)).alias("key")
    keyed = rows.join(of_song, "recording").select(key, "song", "recording")
    drawn = keyed.withColumn("draw", F.xxhash64("key", "recording", F.lit(inputs.as_of.date().isoformat())))
    version = F.struct((F.col("recording") != F.col("song")).alias("other"), "draw", "recording")
    songs = drawn.groupBy("key", "song").agg(F.min(version).alias("one"))
    listed = songs.select("key", "one.draw", "one.recording")
    return rank_by_key(listed, settings.list_length, F.col("draw"), F.col("recording"))


def seeds(listeners: UserBlock, settings: ExploreSourceConfig) -> Seeds:  # noqa: ARG001 - as in all sources
    """Select the list of each user's market and explicit policy."""
    everything = np.full(listeners.users, EVERYTHING)
    return Seeds(
        np.arange(listeners.users),
        chart_keys(listeners.market, listeners.clean, everything),
        np.ones(listeners.users),
    )


SOURCE = Source(
    "explore",
    BIT,
    "new",
    "drawn by lot to learn your taste",
    "played {n} ×, drawn by lot",
    lists=lists,
    seeds=seeds,
    lots=True,
)
