"""Drawn by lot from what may be played: without it nothing tells what all other sources miss.

A market's list is drawn a day, and a listener's items from that list; so, given the list, which is pinned with the release, every recording of it that
no other source names is as likely as any other, and the blend knows the propensity: places in the pool / such recordings.
"""

from typing import Any

import numpy as np
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.keys import EVERYTHING, chart_key, chart_keys
from trackpools.core.sources.listeners import Listeners, Seeds
from trackpools.core.sources.popular import charted
from trackpools.core.sources.ranking import ranked
from trackpools.core.sources.source import Source

BIT = 9


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By market and policy: recordings that enough have heard, drawn by the day."""
    rows = charted(inputs).where(F.col("world") >= inputs.config.rules.min_listeners)
    keyed = rows.select(
        chart_key(F.col("market"), F.col("clean"), F.lit(EVERYTHING)).alias("key"), "recording"
    )
    day = F.lit(inputs.as_of.date().isoformat())
    return ranked(keyed, settings.list_length, F.xxhash64("key", "recording", day), F.col("recording"))


def seeds(listeners: Listeners, settings: Any) -> Seeds:  # noqa: ARG001 - every source has one shape
    """The list of the listener's market."""
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
