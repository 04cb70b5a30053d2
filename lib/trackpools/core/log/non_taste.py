"""Recognise plays and recordings that say nothing about taste (non-taste), and mask them.

Masked plays stay in the tables, but they are no evidence of the taste of the user who played them. A
recording of `non_taste_recordings` is evidence of no user's taste.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config.data import TasteConfig

LOOP = "loop"
KINDS = ("sleep", "kids", "noise", "functional")


def excluded_in(taste: TasteConfig) -> dict[str, Column]:
    """Return, for each excluded context, a boolean column: whether a play was in that context."""
    return {
        context: F.coalesce(F.col("context_type") == context, F.lit(False))
        for context in taste.exclude_contexts
    }


def masked_completions(taste: TasteConfig) -> Column:
    """Return how many completions of a user × recording × day are non-taste.

    At least `loop_plays` plays of a user × recording × day are a loop, and all its completions are non-taste.
    Without a loop, only the completions in excluded contexts are non-taste. A loop is judged before the caps
    for bots apply, because a cap may be below `loop_plays`.

    The frame needs the columns `plays, completions` and `_excluded array<struct<plays, context>>`, the
    completions in each excluded context.
    """
    return F.when(F.col("plays") >= taste.loop_plays, F.col("completions")).otherwise(_excluded())


def mask_reason(taste: TasteConfig) -> Column:
    """Return why a user × recording × day is non-taste; null if it is not.

    If at least half of the completions were in excluded contexts, the reason is the context with most of
    them. Otherwise it is `loop` if the plays were a loop. The frame needs the same columns as for
    `masked_completions`.
    """
    context = F.array_max("_excluded")["context"]
    half = (F.col("completions") > 0) & (2 * _excluded() >= F.col("completions"))
    return F.when(half, context).when((F.col("plays") >= taste.loop_plays) & (F.col("completions") > 0), LOOP)


def _excluded() -> Column:
    return F.aggregate("_excluded", F.lit(0).cast("long"), lambda total, one: total + one["plays"])


def non_taste_recordings(days: DataFrame, facts: DataFrame, taste: TasteConfig) -> DataFrame:
    """Return the recordings that are non-taste for every user: one row for each, as `tables.NOT_TASTE`.

    A recording is non-taste if it has one of the tags of `taste.tags`. It is also non-taste if at least the
    share `taste.share` of its user-days (a user on one day) have a `masked_as`, and at least
    `taste.min_users` users have such a day. Days are counted, not plays, so that one user with a long loop
    cannot make a recording non-taste. If both conditions hold, the tag decides the kind.

    Args:
        days: rows of `plays_daily`.
        facts: `recording_idx, tags`, from the catalogue.
        taste: settings of non-taste.
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
    """Return the first of `KINDS` for which the recording has a tag; null if there is none."""
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


def taste_interactions(interactions: DataFrame, not_taste: DataFrame) -> DataFrame:
    """Return the interactions that charts count.

    Two groups are left out: interactions with non-taste recordings, and interactions that consist of masked
    plays only. A like or dislike does not keep an interaction of the second group.

    Args:
        interactions: rows of `tables.INTERACTIONS`.
        not_taste: rows of `tables.NOT_TASTE`.
    """
    masked_only = (
        (F.col("plays") > 0)
        & (F.col("mass") == 0)
        & (F.col("skips") == 0)
        & (F.col("counted") == 0)
        & F.col("rated").isNull()
    )
    return without_non_taste(interactions, not_taste).where(~masked_only)


def without_non_taste(rows: DataFrame, not_taste: DataFrame) -> DataFrame:
    """Return the rows whose `recording_idx` is not in `not_taste`."""
    return rows.join(not_taste, "recording_idx", "left_anti")
