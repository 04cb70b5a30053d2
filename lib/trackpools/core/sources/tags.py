"""The source `tags`: recordings that are probable given the tags that the user played or declared."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config.sources import TagsSourceConfig
from trackpools.core.arrays.recording_table import tag_code
from trackpools.core.sources.ranked_lists import rank_by_key
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import Seeds, UserBlock, tag_profile
from trackpools.core.topk.exact import top_k_rows

DECLARED = 1.0  # the weight that a declared tag adds to the tag profile: that of one loved recording
PARTS = 1_000_000  # the weight of a recording for its tags is rounded to a multiple of 1 / PARTS


def lists(inputs: ListInputs, settings: TagsSourceConfig) -> DataFrame:
    """List, for each tag, the recordings by P(recording | tag).

    The weight of a recording is (listeners + 1) ** `settings.popularity`, spread evenly over its tags.
    P(recording | tag) is the share of this weight in the sum over all recordings of the tag. The seeds add
    the weights P(tag | user), so the score of a recording is Σ P(tag | user) · P(recording | tag), a mixture
    of unigram models. A tag that all recordings have gives each of them next to nothing.

    Returns:
        `key long` (the tag's code), `recordings binary, scores binary`; the score is P(recording | tag).
    """
    music = inputs.facts.where("functional IS NULL AND NOT inflated")
    heard = F.pow(F.col("listeners") + 1.0, F.lit(settings.popularity)) / F.size("tags")
    # the weights are summed as integers, because a sum of doubles depends on the order of its terms
    rows = music.select(
        F.col("recording_idx").alias("recording"),
        F.round(heard * PARTS).cast("long").alias("heard"),
        F.explode("tags").alias("tag"),
    )
    totals = rows.groupBy("tag").agg(F.sum("heard").alias("total"))
    share = (F.col("heard") / F.col("total")).cast("float").alias("score")
    scored = rows.join(totals, "tag").select(
        tag_code(F.col("tag")).cast("long").alias("key"), "recording", share
    )
    return rank_by_key(scored, settings.list_length)


def seeds(listeners: UserBlock, settings: TagsSourceConfig) -> Seeds:
    """Select the tags of greatest share in each user's tag profile; the share is the weight of the seed."""
    user, tag, share = tag_profile(listeners, DECLARED)
    top = top_k_rows(user, share, tag, settings.tags)
    return Seeds(user[top], tag[top], share[top])


SOURCE = Source(
    "tags",
    7,
    "new",
    "number {n} of your kinds of music",
    "played {n} × and of your kinds of music",
    lists=lists,
    seeds=seeds,
    keyed="tag",
)
