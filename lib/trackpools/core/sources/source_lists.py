"""Build the table `source_lists`: the ranked lists of all sources that look lists up."""

from collections.abc import Sequence
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs


def all_lists(inputs: ListInputs, sources: Sequence[Source]) -> DataFrame:
    """Build the table `source_lists` of the sources that look lists up.

    Returns:
        `source tinyint, key long, recordings binary, scores binary`; empty where no source has lists.
    """
    frames = [
        s.lists(inputs, getattr(inputs.config.sources, s.name)).select(
            F.lit(s.bit).cast("byte").alias("source"), "key", "recordings", "scores"
        )
        for s in sources
        if s.lists is not None
    ]
    bits, keys, items = (
        F.lit(0).cast("byte").alias("source"),
        F.lit(0).cast("long").alias("key"),
        (F.lit(b"").alias(name) for name in ("recordings", "scores")),
    )
    nothing = inputs.facts.select(bits, keys, *items)
    return reduce(DataFrame.unionByName, frames, nothing.limit(0))
