"""Pools as people read them: bitmaps as names, codes as sentences, recordings as the track to play."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def named(dictionary: Mapping[str, str], kind: str) -> list[tuple[int, str]]:
    """Bits or codes of a release's dictionary with their texts, in order; kind is `source` or `reason`."""
    prefix = f"{kind}."
    return sorted(
        (int(key.removeprefix(prefix)), value) for key, value in dictionary.items() if key.startswith(prefix)
    )


def source_names(bitmap: Column, dictionary: Mapping[str, str]) -> Column:
    """Names of the set bits, in bit order."""
    names = [
        F.when(bitmap.bitwiseAND(1 << bit) != 0, F.lit(name)) for bit, name in named(dictionary, "source")
    ]
    return F.array_compact(F.array(*names))


def reason_sentence(code: Column, arg: Column, dictionary: Mapping[str, str]) -> Column:
    """The sentence of a reason code with its number in it; null for a code the release does not know."""
    return F.replace(_text(code, dictionary, "reason"), F.lit("{n}"), arg.cast("string"))


def _text(code: Column, dictionary: Mapping[str, str], kind: str) -> Column:
    """What a bit or code means; null where the release does not know it."""
    return F.create_map(*(F.lit(word) for pair in named(dictionary, kind) for word in pair))[code.cast("int")]


def pools_long(
    pools: DataFrame, listeners: DataFrame, cards: DataFrame, dictionary: Mapping[str, str]
) -> DataFrame:
    """One row a user × candidate: the view `pools_long`.

    Args:
        pools: rows of `pools`, all of one release.
        listeners: `user_idx, user_id, market, clean` of the users wanted.
        cards: `track_cards` of the same release.

    Returns:
        `user_id, rank, track_id, recording_id, title, artists, original_year, score, sources, reason, plays, last_day`;
        ordered by nothing.
    """
    one = F.col("candidate")
    rows = pools.join(listeners, "user_idx").select(
        "user_id", "market", "clean", F.posexplode("candidates").alias("_pos", "candidate")
    )
    rows = rows.withColumn("recording_idx", one["recording"]).join(cards, ["recording_idx", "market"], "left")
    return rows.select(
        "user_id",
        (F.col("_pos") + 1).alias("rank"),
        F.when(F.col("clean"), F.col("clean_track_id")).otherwise(F.col("track_id")).alias("track_id"),
        "recording_id",
        "title",
        F.coalesce("artist_names", "artist_ids").alias("artists"),
        "original_year",
        one["score"].alias("score"),
        source_names(one["sources"], dictionary).alias("sources"),
        reason_sentence(one["reason"], one["reason_arg"], dictionary).alias("reason"),
        one["plays"].alias("plays"),
        F.date_from_unix_date(one["last_day"]).alias("last_day"),
    )


def pools_audit(
    pools: DataFrame, listeners: DataFrame, cards: DataFrame, dictionary: Mapping[str, str]
) -> DataFrame:
    """One row a sampled user × recording × source: the view `pools_audit`; takes what `pools_long` takes.

    Returns:
        `user_id, recording_id, title, source, rank, place, rule`: place in the pool, null where it is not; rule that kept it out, null where it came
        in or lost in the blend (duplicate, artist_cap, album_cap, below_cut); ordered by nothing.
    """
    one = F.col("one")
    rows = pools.join(listeners, "user_idx").select("user_id", "market", F.explode("audit").alias("one"))
    known = rows.withColumn("recording_idx", one["recording"]).join(
        cards, ["recording_idx", "market"], "left"
    )
    source = _text(one["source"], dictionary, "source").alias("source")
    return known.select(
        "user_id",
        "recording_id",
        "title",
        source,
        *(one[name].alias(name) for name in ("rank", "place", "rule")),
    )
