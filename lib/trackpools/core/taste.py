"""Taste first: what is heard but says nothing of taste is recognised and masked, never deleted.

A mask takes plays from the evidence of the user who played them; a recording in `not_taste` is evidence of nobody's taste.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config_taste import TasteConfig

LOOP = "loop"
KINDS = ("sleep", "kids", "noise", "functional")


def excluded_in(taste: TasteConfig) -> dict[str, Column]:
    """Excluded context → was the play in it?"""
    return {
        context: F.coalesce(F.col("context_type") == context, F.lit(False))
        for context in taste.exclude_contexts
    }


def masked(taste: TasteConfig) -> Column:
    """Completions of a user × recording × day that are no taste: all of a loop, else those in excluded contexts.

    Needs `plays, completions` and `_excluded array<struct<plays, context>>`. A loop is judged before the bot caps, which may lie below it.
    """
    return F.when(F.col("plays") >= taste.loop_plays, F.col("completions")).otherwise(_excluded())


def masked_as(taste: TasteConfig) -> Column:
    """The context where half the completions or more were in excluded ones, else `loop` where they were one; null is taste."""
    context = F.array_max("_excluded")["context"]
    half = (F.col("completions") > 0) & (2 * _excluded() >= F.col("completions"))
    return F.when(half, context).when((F.col("plays") >= taste.loop_plays) & (F.col("completions") > 0), LOOP)


def _excluded() -> Column:
    return F.aggregate("_excluded", F.lit(0).cast("long"), lambda total, one: total + one["plays"])


def not_taste(days: DataFrame, facts: DataFrame, taste: TasteConfig) -> DataFrame:
    """One row a recording that is no taste for anybody; see `tables.NOT_TASTE`. What the catalogue says goes before what users do.

    Users are counted by the days on which they masked it, not by plays: however long one of them loops, it takes `min_users` of them.

    Args:
        days: `plays_daily`.
        facts: `recording_idx, tags`: what catalogues say of a recording.
    """
    heard = days.groupBy("recording_idx").agg(F.count(F.lit(1)).alias("_days"))
    odd = (
        days.where(F.col("masked_as").isNotNull())
        .groupBy("recording_idx")
        .agg(
            F.count(F.lit(1)).alias("_odd"),
            F.count_distinct("user_idx").alias("_users"),
            F.mode("masked_as", deterministic=True).alias("_as"),
        )
    )
    told = facts.select("recording_idx", _kind_by_tag(taste).alias("_tagged")).where(
        F.col("_tagged").isNotNull()
    )
    share = F.coalesce("_odd", F.lit(0)) / F.col("_days")
    by_pattern = F.coalesce((F.col("_users") >= taste.min_users) & (share >= taste.share), F.lit(False))
    kind = (
        F.when(F.col("_as") == LOOP, "noise")
        .when(F.col("_as").isin(*KINDS), F.col("_as"))
        .otherwise("functional")
    )
    return (
        heard.join(odd, "recording_idx", "left")
        .join(told, "recording_idx", "full")
        .where(by_pattern | F.col("_tagged").isNotNull())
        .select(
            "recording_idx",
            F.coalesce("_tagged", kind).alias("kind"),
            F.when(F.col("_tagged").isNotNull(), "tag")
            .when(F.col("_as") == LOOP, "loop")
            .otherwise("context")
            .alias("why"),
            share.cast("float").alias("share"),
        )
    )


def _kind_by_tag(taste: TasteConfig) -> Column:
    """The first kind of which the recording has a tag; null for none."""
    tags = F.transform("tags", F.lower)
    named = [(kind, getattr(taste.tags, kind)) for kind in KINDS]
    return F.coalesce(
        *(
            F.when(F.arrays_overlap(tags, F.array(*map(F.lit, words))), kind)
            for kind, words in named
            if words
        ),
        F.lit(None).cast("string"),
    )


def of_taste(interactions: DataFrame, not_taste: DataFrame) -> DataFrame:
    """The rows that charts count: of recordings that may be a taste, and not such whose every play was masked."""
    masked_only = (
        (F.col("plays") > 0)
        & (F.col("mass") == 0)
        & (F.col("skips") == 0)
        & (F.col("counted") == 0)
        & F.col("rated").isNull()
    )
    return without(interactions, not_taste).where(~masked_only)


def without(rows: DataFrame, not_taste: DataFrame) -> DataFrame:
    """Rows of recordings that may be a taste; needs `recording_idx`."""
    return rows.join(not_taste, "recording_idx", "left_anti")
