"""Make the pool of one user on demand, without Spark."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from trackpools.core.arrays.array_types import Float32Array
from trackpools.core.arrays.recording_table import RecordingTable, code_of_tag
from trackpools.core.pools.build import pool_row
from trackpools.core.pools.make_pools import Unwanted, make_pools
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.proposals.block_users import BlockUsers
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.rules import eligibility
from trackpools.core.sources import active_sources
from trackpools.core.sources.chart_keys import code_of_market
from trackpools.core.sources.user_block import UserBlock, day_number, taste_weights
from trackpools.errors import ConfigError


@dataclass(frozen=True)
class OnlineUser:
    """The user that a pool is made for.

    Attributes:
        idx: the `user_idx`.
        market: the market group.
        clean: whether the user gets clean tracks only.
        declared: the tags that the user declared at sign-up.
        history: the history of the user.
        vectors: table of users' vectors (see `Source.vectors`) → the user's float32 vector; without the
            tables in which the user has none.
    """

    idx: int
    market: str
    clean: bool
    declared: tuple[str, ...]
    history: UserHistory
    vectors: Mapping[str, Float32Array]


def user_as_block(user: OnlineUser, facts: RecordingTable, as_of: datetime) -> UserBlock:
    """Return the user as a block of one user.

    Args:
        user: the user.
        facts: the facts of the recordings of the history, in the same order.
        as_of: the moment of the release.
    """
    past = user.history
    declared = np.array([code_of_tag(tag) for tag in user.declared], np.int64)
    return UserBlock(
        idx=np.array([user.idx], np.int32),
        market=np.array([code_of_market(user.market)]),
        clean=np.array([user.clean]),
        declared=(np.array([0, len(declared)]), declared),
        ends=np.array([0, len(past.recording)]),
        recording=past.recording,
        plays=past.plays,
        first_day=past.first_day,
        last_day=past.last_day,
        weight=taste_weights(past.weight.astype(np.float64), facts),
        heard=past.heard,
        excluded=past.blocked | past.refused,
        facts=facts,
        today=day_number(as_of.date()),
    )


def block_of(user: OnlineUser, release: ReleaseArrays) -> BlockUsers:
    """Return the user as the only user of a block, for `make_pools`."""
    past = user.history
    bits = (
        eligibility.HEARD * past.heard
        + eligibility.BLOCKED * past.blocked
        + eligibility.REFUSED * past.refused
    )
    facts = release.recording_table.rows_of(past.recording)
    return BlockUsers(
        block=user_as_block(user, facts, release.as_of),
        bits=bits.astype(np.uint8),
        markets=[user.market],
        vectors={
            name: (np.zeros(1, np.int64), vector[None].astype(np.float32))
            for name, vector in user.vectors.items()
        },
    )


def pool(release: ReleaseArrays, user: OnlineUser, unwanted: Unwanted | None = None) -> dict[str, object]:
    """Make the pool that the batch would write for a user.

    Args:
        release: the arrays of the release.
        user: the user.
        unwanted: see `make_pools`; None rules out nothing.

    Returns:
        The result of `build.pool_row`.

    Raises:
        ConfigError: if an active source proposes in a frame of its own, because that needs Spark.
    """
    frames = [source.name for source in active_sources(release.config) if source.candidates is not None]
    if frames:
        raise ConfigError(
            f"pools on demand have no Spark, but {', '.join(frames)} proposes in a frame of Spark; set its `enabled` "
            "to false, or declare `lists`, `offers` or `vectors` in its module"
        )
    made = make_pools(block_of(user, release), release, unwanted=unwanted)
    return pool_row(made.pools, release.config.pools.k)
