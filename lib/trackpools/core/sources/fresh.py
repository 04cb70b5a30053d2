"""The source `fresh`: recently released recordings, ranked by the user's taste.

For a recording without trained factors, factors are computed from its artist, album, tags and sound.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.als import cold_start
from trackpools.core.sources.source import Source, VectorTables
from trackpools.core.sources.source_inputs import ListInputs

BIT = 8


def vectors(inputs: ListInputs) -> DataFrame:
    """Return the factors of the music released within the last `sources.fresh.days` days.

    These are the trained factors, or those of `als.cold_start` for recordings without trained ones. Non-taste
    audio and recordings inflated by bots are left out.

    Returns:
        `idx int, factors array<float>`; no rows if the source is off.
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
    return own.unionByName(cold_start.cold_start_vectors(inputs.facts, factors, unknown))


SOURCE = Source(
    "fresh",
    BIT,
    "new",
    "number {n} of the new releases near your listening",
    "played {n} ×, a new release",
    # recent music is little, so it is searched without an index
    vectors=VectorTables("user_factors", "fresh_factors", indexed=False),
)
