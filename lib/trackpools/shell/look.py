"""Look at what is published: a few users' pools, decoded."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.audience import audience
from trackpools.core.decode import pools_audit, pools_long
from trackpools.errors import InputError
from trackpools.shell.releases import Release, released
from trackpools.shell.store import Store
from trackpools.shell.switching import served_pools

MAX_USERS = 10_000  # decoded pools go through the driver; beyond this read the tables


def decoded(store: Store, release: Release, config: Config, ids: DataFrame) -> DataFrame:
    """`decode.pools_long` of the users in `ids` (`user_id, user_idx`), lazy."""
    return pools_long(
        served_pools(store, release, config), *_of(store, release, config, ids), release.dictionary
    )


def audited(store: Store, release: Release, config: Config) -> DataFrame:
    """`decode.pools_audit` of a release, lazy: what was done when it was made, whatever is switched off since."""
    ids, pools = released(store, release, "user_ids"), released(store, release, "pools")
    return pools_audit(pools, *_of(store, release, config, ids), release.dictionary)


def _of(store: Store, release: Release, config: Config, ids: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Listeners and `track_cards`, as views of pools take them."""
    profiles, cards = (released(store, release, name) for name in ("users", "track_cards"))
    return ids.join(
        audience(ids, profiles, config.cards.market_groups, config.taste.minor_bands), "user_idx"
    ), cards


def show_pools(
    store: Store, release: Release, config: Config, users: Sequence[str], limit: int
) -> list[dict[str, Any]]:
    """Decoded pools of a release, one dictionary a user, in the order of `users` or of user_idx.

    Raises:
        InputError: naming every user who has no pool in the release, or where more than 10,000 are asked for.
    """
    if max(limit, len(users)) > MAX_USERS:
        raise InputError(
            f"at most {MAX_USERS} pools can be shown; read the pools table of release {release.release_id} for more"
        )
    ids, pools = released(store, release, "user_ids"), served_pools(store, release, config)
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
        said = f"{len(missing)} of {len(users)} users have no pool in release {release.release_id} that may be served"
        raise InputError(f"{said}; are the ids right, is their market switched off?", missing)
    # of the same look at the switches as the heads
    long = (
        pools_long(pools, *_of(store, release, config, wanted), release.dictionary)
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
    """What the release knows of a listener: plays, recordings, top artists and tags; empty for one without plays."""
    ids = released(store, release, "user_ids").where(F.col("user_id") == user)
    row = released(store, release, "user_features").join(ids, "user_idx").drop("user_idx", "user_id").first()
    return row.asDict(recursive=True) if row else {}
