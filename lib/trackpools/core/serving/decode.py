"""Decode pools for readers: bitmaps to names, codes to sentences, recordings to the tracks to play."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def dictionary_entries(dictionary: Mapping[str, str], kind: str) -> list[tuple[int, str]]:
    """Return the pairs (number, text) of one kind in a release's dictionary, sorted.

    Args:
        dictionary: the dictionary of the release. Its keys are a kind and a number: `source.0` is the name of
            the source of bit 0, and `reason.1` is the sentence of code 1.
        kind: `source` or `reason`.
    """
    prefix = f"{kind}."
    return sorted(
        (int(key.removeprefix(prefix)), value) for key, value in dictionary.items() if key.startswith(prefix)
    )


def source_names(bitmap: Column, dictionary: Mapping[str, str]) -> Column:
    """Return the names (array of string) of the sources whose bits are set, in the order of bits."""
    names = [
        F.when(bitmap.bitwiseAND(1 << bit) != 0, F.lit(name))
        for bit, name in dictionary_entries(dictionary, "source")
    ]
    return F.array_compact(F.array(*names))


def reason_sentence(code: Column, arg: Column, dictionary: Mapping[str, str]) -> Column:
    """Return the sentence of a reason code, with the number `arg` in place of `{n}`.

    The sentence is null if the code is not in the dictionary.
    """
    return F.replace(_text(code, dictionary, "reason"), F.lit("{n}"), arg.cast("string"))


def _text(code: Column, dictionary: Mapping[str, str], kind: str) -> Column:
    """Return the text of a bit or code; null if it is not in the dictionary."""
    return F.create_map(*(F.lit(word) for pair in dictionary_entries(dictionary, kind) for word in pair))[
        code.cast("int")
    ]


def pools_long(
    pools: DataFrame, listeners: DataFrame, cards: DataFrame, dictionary: Mapping[str, str]
) -> DataFrame:
    """Return the view `pools_long`: one row for each user × candidate.

    Args:
        pools: rows of `pools`, all of one release.
        listeners: `user_idx, user_id, market, clean` of the users whose pools are returned.
        cards: rows of `track_cards` of the same release.
        dictionary: the dictionary of the release.

    Returns:
        `user_id, rank, track_id, recording_id, title, artists, original_year, score, sources, reason, plays,
        last_day`; the rows have no particular order. `rank` is the place in the pool, from 1. `track_id` is
        the track to play in the user's market; a clean one if `clean` is true, and null if there is none.
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
    """Return the view `pools_audit`: one row for each sampled user × recording × source.

    The arguments are those of `pools_long`.

    Returns:
        `user_id, recording_id, title, source, rank, place, rule`; the rows have no particular order. `rank`
        is the rank that the source gave the recording. `place` is its place in the pool; null if it is not in
        the pool. `rule` is the rule that excluded it; null if it is in the pool, or was left out by the blend
        (duplicate, artist_cap, album_cap, below_cut).
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
