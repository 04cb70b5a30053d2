"""Select the users that get a pool, with their market group and explicit policy."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

EVERYWHERE = "*"  # the market of users whose market is unknown
OF_AGE = 18  # years


def market_group(groups: dict[str, str]) -> Column:
    """Return the market group of the column `market`.

    The group of a market without a group is the market itself; the group of an unknown market is `*`.

    Args:
        groups: market → group.
    """
    if not groups:
        return F.coalesce("market", F.lit(EVERYWHERE))
    named = F.create_map(*(F.lit(word) for pair in sorted(groups.items()) for word in pair))
    return F.coalesce(named[F.col("market")], "market", F.lit(EVERYWHERE))


def is_minor(bands: Sequence[str]) -> Column:
    """Return whether a user is a minor: `birth_band` is one of the bands, or ends below 18 years.

    Examples that end below 18 years: 13-17, 0–12, 16, <18, under 13. If the band is null or has no such form,
    the user does not count as a minor.
    """
    band = F.lower(F.trim("birth_band"))
    last = F.regexp_extract(band, r"(?:\A|[^0-9])([0-9]{1,3})\z", 1).try_cast("int")
    below = F.when(band.rlike(r"\A(<[^=]|under)"), last - 1).otherwise(last)
    return F.coalesce(F.col("birth_band").isin(*bands) | (below < OF_AGE), F.lit(False))


def is_minor_band(band: str | None, bands: Sequence[str]) -> bool:
    """Return for one `birth_band`, without Spark, what `is_minor` returns."""
    told = (band or "").strip().lower()
    found = re.search(r"(?:\A|[^0-9])([0-9]{1,3})\Z", told)
    return band in bands or (
        found is not None and int(found[1]) - bool(re.match(r"<[^=]|under", told)) < OF_AGE
    )


def audience(
    user_ids: DataFrame, users: DataFrame, groups: dict[str, str], minors: Sequence[str]
) -> DataFrame:
    """Return the market group and the explicit policy of every user.

    A user without a row in `users` has an unknown market and allows explicit tracks. A minor gets clean
    tracks only, whatever `explicit_policy` is.

    Args:
        user_ids: `user_id, user_idx`.
        users: rows of `tables.USERS`.
        groups: market → market group.
        minors: birth bands of minors, in addition to all that end below 18 years.

    Returns:
        One row for each user: `user_idx`, `market` (the market group), `clean` (whether the user gets clean
        tracks only), `declared_tags`.
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


def is_sampled(users: int, max_users: int) -> Column:
    """Return whether a user belongs to a sample of about `max_users` users.

    A hash of `user_idx` decides, so equal arguments give the same sample.

    Args:
        users: number of all users.
        max_users: size of the sample; if `users` is not greater, all users are in the sample.
    """
    return (
        F.lit(True)
        if users <= max_users
        else F.pmod(F.xxhash64("user_idx"), F.lit(1_000_000)) < F.lit(int(1_000_000 * max_users / users))
    )


def first_buckets(users: int, max_users: int, buckets: int) -> int:
    """Return how many buckets (partitions of the table `pools`) hold about `max_users` users; at least 1.

    A hash assigns users to buckets, so the users of the first buckets are a sample of all users. No file of
    the other buckets is read for this sample.

    Args:
        users: number of all users.
        max_users: size of the sample.
        buckets: number of all buckets.
    """
    return buckets if users <= max_users else max(1, round(buckets * max_users / users))


def eligible_users(
    users: DataFrame, features: DataFrame, history: DataFrame, active_days: int, as_of: datetime
) -> DataFrame:
    """Return the users that get a pool: all, or those active within the last `active_days` days.

    Args:
        users: the result of `audience`.
        features: `user_idx, profile`.
        history: the result of `core.rules.eligibility.history`.
        active_days: greatest number of days since a user's last play; 0 selects all users.
        as_of: the moment from which days are counted back.

    Returns:
        The selected rows of `users`, with the column `profile` of `features`; null for a user without one.
    """
    if active_days:
        since = (as_of - timedelta(days=active_days)).date()
        active = history.where(F.col("last_day") >= F.unix_date(F.lit(since))).select("user_idx").distinct()
        users = users.join(active, "user_idx", "left_semi")
    return users.join(features.select("user_idx", "profile"), "user_idx", "left")
