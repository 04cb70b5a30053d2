"""Detect recordings whose plays look bought (shilling; Gunes et al. 2014).

Such plays come from a few accounts, or from many accounts with few plays each. These accounts play little
else. So bought plays raise two medians over the listeners of a recording: its *share* in all plays of a
listener, and its *lead*, which is its plays divided by those of the listener's most played other recording.
Honest listeners do not raise the medians, however devoted they are: a fan of a song listens to other songs
too, and the fans of an album play twelve of its songs equally often. Because the measures are medians, the
accounts must outnumber the honest listeners to be detected. So a few accounts cannot get a hit flagged.

Bought plays are not detected in three cases:

- Each account plays the recording fewer than `inflated_plays` times. Such plays gain little, because evidence
  grows with their logarithm.
- The accounts play five or more other recordings as often as the recording.
- The recording has fewer than `inflated_listeners` listeners, accounts included.

If a recording has few listeners of its own, a rival can get it flagged by buying plays for it.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config.data import TasteConfig

# A value is far out if it is more than this many quartile distances (third minus first quartile) above the
# third quartile (Tukey 1977).
FENCE = 3.0
MIN_QUARTILE_DISTANCE = 0.2  # of logarithms; a smaller distance is replaced by this, if most values are alike
LIKE = 20  # recordings of similar audience that are needed to say what is normal
MEASURES = ("plays", "share", "lead")


def inflated_recordings(interactions: DataFrame, taste: TasteConfig) -> DataFrame:
    """Return the `recording_idx` of recordings whose plays look bought.

    The frame is lazy, and does not depend on partitions. The plays of a recording look bought if two
    conditions hold. The median of the plays is at least `inflated_plays`. And the median share is at least
    `inflated_share`, or the median lead is at least `inflated_lead`. Each median that decides must also be
    far out among recordings with an audience of similar size. Recordings with fewer than `inflated_listeners`
    listeners are not judged.

    Args:
        interactions: rows of `tables.INTERACTIONS`.
        taste: settings with the limits.
    """
    middle = _medians(interactions).where(F.col("listeners") >= taste.inflated_listeners)
    judged = _with_fences(middle.withColumn("audience", F.floor(F.log2("listeners"))))
    far = {name: F.log(name) > F.col(f"_{name}") for name in MEASURES}
    heavy = far["plays"] & (F.col("plays") >= taste.inflated_plays)
    thin, alone = (
        far["share"] & (F.col("share") >= taste.inflated_share),
        far["lead"] & (F.col("lead") >= taste.inflated_lead),
    )
    return judged.where(heavy & (thin | alone)).select("recording_idx")


def _medians(interactions: DataFrame) -> DataFrame:
    """Return the medians over the listeners of each recording: one row for each recording.

    The columns are `recording_idx, listeners` and the medians of `plays`, `share` (a part of all plays of the
    user) and `lead` (plays divided by the plays of the user's most played other recording).
    """
    heard = interactions.select(
        "user_idx", "recording_idx", (F.col("plays").cast("long") + F.col("counted")).alias("plays")
    ).where("plays > 0")
    listener = Window.partitionBy("user_idx")
    best_first = listener.orderBy(F.desc("plays"), "recording_idx")
    ranked = heard.withColumns(
        {
            "total": F.sum("plays").over(listener),
            "most": F.max("plays").over(listener),
            "rank": F.row_number().over(best_first),
            "next": F.lead("plays").over(best_first),
        }
    )
    # Plays of the user's most played other recording; 1 if the user played no other.
    rival = F.when(F.col("rank") == 1, F.coalesce("next", F.lit(1))).otherwise(F.col("most"))

    def median(part: Column, whole: Column, unit: int, name: str) -> Column:
        # The values are rounded to few distinct whole numbers, which makes exact medians cheap.
        return (F.percentile(F.floor(part * unit / whole), 0.5) / unit).alias(name)

    plays = F.col("plays")
    medians = (
        median(plays, F.lit(1), 1, "plays"),
        median(plays, F.col("total"), 1000, "share"),
        median(plays, rival, 10, "lead"),
    )
    return ranked.groupBy("recording_idx").agg(F.count(F.lit(1)).alias("listeners"), *medians)


def _with_fences(middle: DataFrame) -> DataFrame:
    """Add `_plays`, `_share` and `_lead`: the logarithms above which a median is far out.

    They are computed from the recordings with an audience of similar size (the column `audience`). If there
    are fewer than `LIKE` such recordings, they are computed from all recordings.
    """

    def fence(name: str) -> Column:
        at = F.percentile(F.log(name), [0.25, 0.75])
        return (at[1] + FENCE * F.greatest(at[1] - at[0], F.lit(MIN_QUARTILE_DISTANCE))).alias(f"_{name}")

    fences = middle.rollup("audience").agg(F.count(F.lit(1)).alias("_like"), *map(fence, MEASURES))
    whole = fences.where(F.col("audience").isNull()).select(
        *(F.col(f"_{name}").alias(f"_{name}_of_all") for name in MEASURES)
    )
    own = fences.where(F.col("audience").isNotNull())  # audience n has 2^n to 2^(n+1) − 1 listeners
    chosen = own.crossJoin(whole).select(
        "audience",
        *(
            F.when(F.col("_like") >= LIKE, F.col(f"_{name}"))
            .otherwise(F.col(f"_{name}_of_all"))
            .alias(f"_{name}")
            for name in MEASURES
        ),
    )
    return middle.join(F.broadcast(chosen), "audience")
