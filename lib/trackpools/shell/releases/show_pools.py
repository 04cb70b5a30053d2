"""Decode published pools, for display and for readers."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.log.audience import audience
from trackpools.core.serving.decode import pools_audit, pools_long
from trackpools.errors import InputError
from trackpools.shell.releases.releases import Release, read_pinned
from trackpools.shell.releases.take_down import served_pools
from trackpools.shell.store.store import Store

MAX_USERS = 10_000  # decoded pools pass through the driver; for more users, read the tables


def decode_pools(store: Store, release: Release, config: Config, ids: DataFrame) -> DataFrame:
    """Return the decoded pools of some users as a lazy frame, see `decode.pools_long`.

    Only what may be served now is returned, see `take_down.served_pools`.

    Args:
        store: The store that holds the release.
        release: The release to read.
        config: The merged configuration.
        ids: Frame with the columns `user_id` and `user_idx`.
    """
    return pools_long(
        served_pools(store, release, config),
        *_users_and_cards(store, release, config, ids),
        release.dictionary,
    )


def decode_audit(store: Store, release: Release, config: Config) -> DataFrame:
    """Return the audit view of the pools of a release as a lazy frame, see `decode.pools_audit`.

    The view shows the pools as they were built, without regard to what was switched off since.
    """
    ids, pools = read_pinned(store, release, "user_ids"), read_pinned(store, release, "pools")
    return pools_audit(pools, *_users_and_cards(store, release, config, ids), release.dictionary)


def _users_and_cards(
    store: Store, release: Release, config: Config, ids: DataFrame
) -> tuple[DataFrame, DataFrame]:
    """Return the two frames that the pool views need: the users with their audience, and `track_cards`."""
    profiles, cards = (read_pinned(store, release, name) for name in ("users", "track_cards"))
    return ids.join(
        audience(ids, profiles, config.cards.market_groups, config.taste.minor_bands), "user_idx"
    ), cards


def show_pools(
    store: Store, release: Release, config: Config, users: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """Return decoded pools of a release, one dictionary for each user.

    Args:
        store: The store that holds the release.
        release: The release to read.
        config: The merged configuration.
        users: Raw ids of the users; the result is in this order. If empty, the first `limit` users by
            `user_idx` are used.
        limit: Number of users if `users` is empty.

    Raises:
        InputError: If a user has no pool in the release that may be served (the error names every such user),
            or if more than 10,000 pools are requested.
    """
    if max(limit, len(users)) > MAX_USERS:
        raise InputError(
            f"at most {MAX_USERS} pools can be shown; for more, read the table pools of release {release.release_id}"
        )
    ids, pools = read_pinned(store, release, "user_ids"), served_pools(store, release, config)
    if users:
        wanted = ids.where(F.col("user_id").isin(list(users)))
    else:
        wanted = ids.join(pools.select("user_idx"), "user_idx", "left_semi").orderBy("user_idx").limit(limit)
    chosen = pools.join(F.broadcast(wanted), "user_idx")
    heads = (
        chosen.select("user_id", "user_idx", F.size("candidates").alias("k"), "shortfall", "drops", "emitted")
        .orderBy("user_idx")
        .collect()
    )
    missing = sorted(set(users) - {row["user_id"] for row in heads})
    if missing:
        said = f"release {release.release_id} has no pool that may be served for {len(missing)} of {len(users)} users"
        raise InputError(
            f"{said}; check these ids, and check with `trackpools switch list` whether their market is off",
            missing,
        )
    # the candidates come from the same frame `pools` as the heads, so both reflect the same state of switches
    long = (
        pools_long(pools, *_users_and_cards(store, release, config, wanted), release.dictionary)
        .orderBy("user_id", "rank")
        .collect()
    )
    candidates: dict[str, list[dict[str, Any]]] = {}
    for row in long:
        one = row.asDict()
        day = one.pop("last_day")
        candidates.setdefault(one.pop("user_id"), []).append(
            one | {"last_day": day.isoformat() if day else None}
        )
    shown = {
        row["user_id"]: {
            "user_id": row["user_id"],
            "k": row["k"],
            "shortfall": row["shortfall"].asDict() if row["shortfall"] else None,
            "emitted": row["emitted"],
            "drops": dict(sorted(row["drops"].items())),
            "candidates": candidates.get(row["user_id"], []),
        }
        for row in heads
    }
    return [shown[user] for user in (users or shown)]


def profile_of(store: Store, release: Release, user: str) -> dict[str, Any]:
    """Return the row of `user_features` of a user: plays, recordings, top artists and tags.

    The dictionary is empty for a user without plays.
    """
    ids = read_pinned(store, release, "user_ids").where(F.col("user_id") == user)
    row = (
        read_pinned(store, release, "user_features").join(ids, "user_idx").drop("user_idx", "user_id").first()
    )
    return row.asDict(recursive=True) if row else {}
