"""Make the pools of a block of users from the arrays of a release. Nothing else makes a pool.

The batch and the refresh call `make_pools` in the tasks of Spark, and pools on demand call it for a single
user. So a pool does not depend on how it was asked for.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trackpools.core.arrays.array_types import BoolArray, Int64Array, Uint8Array
from trackpools.core.arrays.recording_table import RecordingTable
from trackpools.core.pools.build import CandidateBatch, Pools, build_pools
from trackpools.core.pools.policy import Policy
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.core.proposals.block_users import BlockUsers
from trackpools.core.proposals.propose import propose_to_block
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.rules import eligibility
from trackpools.core.rules.market_masks import look_up
from trackpools.core.sources.lookup_arrays import NOT_ASKED, Proposals

# Returns for a table of recordings which of them a request rules out, bool [recordings].
Unwanted = Callable[[RecordingTable], BoolArray]


class MadePools(NamedTuple):
    """The pools of a block of users, and the candidates that they were chosen from."""

    candidates: CandidateBatch
    pools: Pools


def make_pools(
    users: BlockUsers,
    release: ReleaseArrays,
    *,
    more: Mapping[int, Proposals] | None = None,
    ask: bool = True,
    unwanted: Unwanted | None = None,
) -> MadePools:
    """Ask the sources for proposals, apply the rules, and blend a pool for each user.

    Args:
        users: the users of the block and their histories.
        release: the arrays of the release, with the configuration to make pools with.
        more: proposals that are known already, by bit of the source.
        ask: whether to ask the sources. If not, pools are made from `more` alone.
        unwanted: for pools on demand, what the request rules out. Such recordings are dropped under the rule
            `request`.

    Returns:
        The pools, in the order of the users.
    """
    proposals = (propose_to_block(release, users) if ask else {}) | dict(more or {})
    policy = Policy.of(release.config, release.as_of)
    candidates = candidates_of(users, proposals, release, policy, unwanted)
    return MadePools(candidates, build_pools(candidates, policy.request))


def candidates_of(
    users: BlockUsers,
    proposals: Mapping[int, Proposals],
    release: ReleaseArrays,
    policy: Policy,
    unwanted: Unwanted | None = None,
) -> CandidateBatch:
    """Join the proposals with histories, facts and rules.

    Args:
        users: the users of the block.
        proposals: bit of a source → its proposals to these users.
        release: the arrays of the release.
        policy: the settings that pools are made with.
        unwanted: see `make_pools`.
    """
    from trackpools.core.pools.tag_distribution import tag_distributions

    block, table = users.block, release.recording_table
    user, source, rank, recording = _flat(proposals)
    plays, last_day, bits = _history_of(users, user, recording)
    nobody = np.full(block.users, NOT_ASKED)
    masked = np.max([nobody, *(own.masked for own in proposals.values())], axis=0).astype(np.int64)
    barred, withheld = _market_rules(users, release, user, recording)
    withheld[masked == NOT_ASKED] = 0  # no rule kept anything from a user to whom nobody proposes anything
    below = eligibility.fact_flags(table, recording, bits, policy.standards)
    return CandidateBatch(
        user=user,
        recording=recording,
        source=source,
        rank=rank,
        flags=eligibility.rule_flags(
            barred,
            block.clean[user],
            bits,
            below,
            heard=policy.heard,
            unwanted=unwanted and unwanted(table.rows_of(recording)),
        ),
        plays=plays,
        last_day=last_day,
        heard=(bits & eligibility.HEARD).astype(bool),
        masked=np.maximum(masked, 0),
        withheld=withheld,
        recording_table=table,
        tastes=tag_distributions(block.ends, block.recording, block.weight, table)
        if policy.request.calibration > 0
        else TagDistributions.empty(block.users),
        lot_chance=_lot_chance(proposals, block.users),
    )


def _flat(proposals: Mapping[int, Proposals]) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Return user, source, rank and recording of each candidate, by user, then by source, then by rank."""
    parts: list[tuple[NDArray[np.int64], ...]] = [(np.empty(0, np.int64),) * 4]
    for bit, own in sorted(proposals.items()):
        sizes = np.diff(own.ends)
        user = np.repeat(np.arange(len(sizes)), sizes)
        rank = np.arange(len(user)) - np.repeat(own.ends[:-1], sizes) + 1
        parts.append((user, np.full(len(user), bit), rank, own.recordings.astype(np.int64)))
    user, source, rank, recording = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(user, kind="stable")
    return user[order], source[order], rank[order], recording[order]


def _history_of(
    users: BlockUsers, user: Int64Array, recording: Int64Array
) -> tuple[Int64Array, Int64Array, Uint8Array]:
    """Return plays, last day and history bits of each candidate.

    A recording that is not in the user's history has 0 plays, the last day −1 and no bits.
    """
    from trackpools.core.kernels.rank_fusion import match_history

    block, at = users.block, np.empty(len(user), np.int64)
    match_history(
        np.searchsorted(user, np.arange(block.users + 1)), recording, block.ends, block.recording, at
    )
    # recordings outside of the history are sent to a row behind the last
    plays, last_day, bits = (
        np.append(column, never)[at]
        for column, never in ((block.plays, 0), (block.last_day, -1), (users.bits, 0))
    )
    return plays, last_day, bits.astype(np.uint8)


def _market_rules(
    users: BlockUsers, release: ReleaseArrays, user: Int64Array, recording: Int64Array
) -> tuple[Uint8Array, Int64Array]:
    """Apply the masks of the users' markets.

    Returns:
        The byte of each candidate in the mask of its user's market, uint8; and `CandidateBatch.withheld`,
        int64 [users, rules].
    """
    names = sorted(set(users.markets))
    market = np.array([names.index(name) for name in users.markets], np.int64)
    barred = np.empty(len(user), np.uint8)
    withheld = np.zeros((len(market), len(eligibility.RULES)), np.int64)
    for i, name in enumerate(names):
        mask, rows = release.market(name), np.flatnonzero(market[user] == i)
        barred[rows] = look_up(mask.bars, recording[rows])
        withheld[market == i] = mask.withheld
    withheld[~users.block.clean, eligibility.RULES.index("explicit")] = 0
    return barred, withheld


def _lot_chance(proposals: Mapping[int, Proposals], users: int) -> NDArray[np.float64]:
    """Return the probability [users] of each recording of the lot to be drawn; 1 where nothing was drawn."""
    chance = np.ones(users)
    for own in proposals.values():
        sizes = np.diff(own.ends)
        drawn = (own.lot_size > 0) & (sizes > 0)
        chance[drawn] = sizes[drawn] / own.lot_size[drawn]
    return chance
