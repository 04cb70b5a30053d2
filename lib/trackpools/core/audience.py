"""Who listens: market groups, explicit policy, and who is due a pool."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

EVERYWHERE = "*"  # the market of users whose market is unknown
OF_AGE = 18  # years


def market_group(groups: dict[str, str]) -> Column:
    """The market group of a `market` column; a market is its own group, `*` where it is unknown."""
    if not groups:
        return F.coalesce("market", F.lit(EVERYWHERE))
    named = F.create_map(*(F.lit(word) for pair in sorted(groups.items()) for word in pair))
    return F.coalesce(named[F.col("market")], "market", F.lit(EVERYWHERE))


def is_minor(bands: Sequence[str]) -> Column:
    """Is `birth_band` one of the bands, or does it end below 18 years: 13-17, 0–12, 16, <18, under 13? Unknown is not."""
    band = F.lower(F.trim("birth_band"))
    last = F.regexp_extract(band, r"(?:\A|[^0-9])([0-9]{1,3})\z", 1).try_cast("int")
    below = F.when(band.rlike(r"\A(<[^=]|under)"), last - 1).otherwise(last)
    return F.coalesce(F.col("birth_band").isin(*bands) | (below < OF_AGE), F.lit(False))


def minor(band: str | None, bands: Sequence[str]) -> bool:
    """`is_minor` of one band."""
    told = (band or "").strip().lower()
    found = re.search(r"(?:\A|[^0-9])([0-9]{1,3})\Z", told)
    return band in bands or (
        found is not None and int(found[1]) - bool(re.match(r"<[^=]|under", told)) < OF_AGE
    )


def audience(
    user_ids: DataFrame, users: DataFrame, groups: dict[str, str], minors: Sequence[str]
) -> DataFrame:
    """`user_idx, market (group), clean, declared_tags`: one row a user; who has no profile is of unknown market and allows explicit tracks.

    A minor's is clean whatever the profile says.

    Args:
        minors: birth bands of minors, beside all that end below 18 years.
    """
    clean = (F.col("explicit_policy") == "clean") | is_minor(minors)
    profile = users.select(
        "user_id", market_group(groups).alias("market"), clean.alias("clean"), "declared_tags"
    )
    return user_ids.join(profile, "user_id", "left").select(
        "user_idx",
        F.coalesce("market", F.lit(EVERYWHERE)).alias("market"),
        F.coalesce("clean", F.lit(False)).alias("clean"),
        "declared_tags",
    )


def by_lot(users: int, most: int) -> Column:
    """So many users by a hash of `user_idx`, the same whatever is told of them; all where there are no more."""
    return (
        F.lit(True)
        if users <= most
        else F.pmod(F.xxhash64("user_idx"), F.lit(1_000_000)) < F.lit(int(1_000_000 * most / users))
    )


def first_buckets(users: int, most: int, buckets: int) -> int:
    """How many of the partitions of `pools`, to which users are sent by a hash, hold about so many users: all, or at least one.

    Of the others no file is read.
    """
    return buckets if users <= most else max(1, round(buckets * most / users))


def eligible(
    everybody: DataFrame, features: DataFrame, history: DataFrame, active_days: int, as_of: datetime
) -> DataFrame:
    """The audience that gets a pool, with `profile`: everybody, or who was active within `active_days` (above 0)."""
    if active_days:
        since = (as_of - timedelta(days=active_days)).date()
        active = history.where(F.col("last_day") >= F.unix_date(F.lit(since))).select("user_idx").distinct()
        everybody = everybody.join(active, "user_idx", "left_semi")
    return everybody.join(features.select("user_idx", "profile"), "user_idx", "left")
