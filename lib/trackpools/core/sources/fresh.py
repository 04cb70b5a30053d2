"""New releases by taste; one that nobody played yet has a vector made of its artist, album, tags and sound."""

from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.als import coldmap
from trackpools.core.sources import als
from trackpools.core.sources.inputs import ListInputs, SourceInputs
from trackpools.core.sources.source import Source

BIT = 8


def vectors(inputs: ListInputs) -> DataFrame:
    """`idx int, factors array<float>` of the recordings released within `sources.fresh.days`; none where the source is off.

    Their own factors, or those of `coldmap` where they have none.
    """
    settings = inputs.config.sources.fresh
    if not settings.enabled:
        return inputs.recording_factors.select("idx", "factors").limit(0)
    today = inputs.as_of.date()
    recent = F.col("released").between(F.date_sub(F.lit(today), settings.days), F.lit(today))
    new = inputs.facts.where(recent & F.col("functional").isNull() & ~F.col("inflated"))
    factors = inputs.recording_factors.select("idx", "factors")
    own = factors.join(new.select(F.col("recording_idx").alias("idx")), "idx", "left_semi")
    unknown = new.join(factors.select(F.col("idx").alias("recording_idx")), "recording_idx", "left_anti")
    return own.unionByName(coldmap.vectors(inputs.facts, factors, unknown))


def candidates(inputs: SourceInputs, settings: Any) -> DataFrame:
    """One row a user with factors, see `sources`: the new releases of largest inner product among `fresh_factors`."""
    few = min(inputs.recordings, inputs.config.topk.exact_max)  # new releases are few: they need no index
    return als.ranked(
        replace(inputs, recording_factors=inputs.fresh_factors, recordings=few, stripes=None),
        BIT,
        settings.k,
        0,
    )


SOURCE = Source(
    "fresh",
    BIT,
    "new",
    "number {n} of the new releases near your listening",
    "played {n} ×, a new release",
    candidates=candidates,
)
