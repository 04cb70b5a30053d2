"""Recordings near single ones that a listener loves or just played, by the angle of their factors: sharper than the mean of a taste."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.sources import als
from trackpools.core.sources.inputs import ListInputs
from trackpools.core.sources.listeners import recent_and_loved
from trackpools.core.sources.source import Source


def lists(inputs: ListInputs, settings: Any) -> DataFrame:
    """By recording_idx: the recordings of greatest cosine, itself left out; score is the cosine."""
    return als.nearest(inputs, settings.list_length).select(
        F.col("user_idx").cast("long").alias("key"), "recordings", "scores"
    )


SOURCE = Source(
    "als_neighbours",
    2,
    "new",
    "number {n} near recordings you play",
    "played {n} × and near recordings you play",
    lists=lists,
    seeds=recent_and_loved,
    keyed="recording",
)
