"""Recordings whose plays look bought: few accounts, or many thin ones, that play little else (shilling; Gunes et al. 2014).

A push moves two medians over a recording's listeners that honest crowds leave alone, however devoted: how large a part of all
that a listener plays it is, and how far it lies before whatever else that listener plays most. A fan of a song is a listener
of other songs too, and an album's fans play twelve of its songs alike. Medians, so that accounts must outnumber the honest
listeners before anything shows, and a hit cannot be condemned from outside by few.

It does not stand: a push of fewer than `inflated_plays` plays an account, which pays little, for evidence grows with their
logarithm; accounts that play five or more other recordings as often as the target; fewer than `inflated_listeners` accounts; and,
where the target has few listeners of its own, a rival who pushes it in order to have it flagged.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config_taste import TasteConfig

FENCE = 3.0  # quartile distances above the third quartile: far out (Tukey 1977)
LEAST = 0.2  # quartile distance of logarithms, where most recordings are alike
LIKE = 20  # recordings of like audience that it takes to say what is normal
MEASURES = ("plays", "share", "lead")


def inflated(interactions: DataFrame, taste: TasteConfig) -> DataFrame:
    """`recording_idx` of recordings whose plays look bought; lazy, and the same whatever the partitions.

    Bought is what its median listener plays `inflated_plays` times or more, far more often than is normal for recordings of
    like audience, and also out of proportion: as `inflated_share` of all plays, or `inflated_lead` times as often as anything
    else, either of them far out for a like audience too.
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
    """One row a recording: `listeners`, and over them the medians of `plays`, `share` of all plays, and `lead`."""
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
    rival = F.when(F.col("rank") == 1, F.coalesce("next", F.lit(1))).otherwise(
        F.col("most")
    )  # what it is played against

    def median(part: Column, whole: Column, unit: int, name: str) -> Column:
        # of whole numbers: few distinct ones, so exact medians are cheap
        return (F.percentile(F.floor(part * unit / whole), 0.5) / unit).alias(name)

    plays = F.col("plays")
    medians = (
        median(plays, F.lit(1), 1, "plays"),
        median(plays, F.col("total"), 1000, "share"),
        median(plays, rival, 10, "lead"),
    )
    return ranked.groupBy("recording_idx").agg(F.count(F.lit(1)).alias("listeners"), *medians)


def _with_fences(middle: DataFrame) -> DataFrame:
    """Add `_plays`, `_share`, `_lead`: logarithms above which a recording is far out among those of like audience, or among all where these are few."""

    def fence(name: str) -> Column:
        at = F.percentile(F.log(name), [0.25, 0.75])
        return (at[1] + FENCE * F.greatest(at[1] - at[0], F.lit(LEAST))).alias(f"_{name}")

    fences = middle.rollup("audience").agg(F.count(F.lit(1)).alias("_like"), *map(fence, MEASURES))
    whole = fences.where(F.col("audience").isNull()).select(
        *(F.col(f"_{name}").alias(f"_{name}_of_all") for name in MEASURES)
    )
    own = fences.where(F.col("audience").isNotNull())  # a row a doubling of the audience
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
