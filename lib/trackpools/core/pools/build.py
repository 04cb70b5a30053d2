"""Blend the candidates of many sources into one pool of at most K candidates for each user.

Every candidate of a pool carries its sources and its reason. Every proposed recording that is not in the pool
is counted under one rule. `build_pools` builds the pools of a batch of users.

A source is denoted by its bit: its position in the bitmap `sources` (see `sources.source`).
"""

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.arrays.array_types import Int64Array
from trackpools.core.arrays.recording_table import RecordingTable
from trackpools.core.pools.user_tastes import TagDistributions
from trackpools.core.rules.eligibility import BELOW_CUT, RULES

if TYPE_CHECKING:
    from trackpools.core.pools.greedy_kernel import BlendSettings

CATALOGUE = "catalogue"  # value of `shortfall` if the sources had too few candidates even without any rule
# the attributes of `CandidateBatch` that have one entry for each candidate
FLAT = ("user", "recording", "source", "rank", "flags", "plays", "last_day", "heard")


@dataclass(frozen=True)
class PoolRequest:
    """The settings of a blend.

    Attributes:
        k: the greatest number of candidates in a pool.
        rrf_k: the constant of reciprocal-rank fusion.
        weights: the weight of each source, indexed by the bit of the source.
        blend: `rrf` or `quota`; see `build_pools`.
        mmr: strength of diversification, 0 to 1; 0 switches it off.
        calibration: strength of calibration to the tags of the user, 0 to 1; 0 switches it off.
        floor: how many recordings complete a facet cell (see `facet_floors`); 0 switches facet floors off.
        floor_share: the greatest share of the K slots that is spent on completing facet cells.
        reserve: the size of the reserve, as a share of K.
        artist_cap: the greatest number of candidates of one artist in a pool.
        album_cap: the greatest number of candidates of one album in a pool.
        versions: which recording of a song stays in the pool: `original`, or `best` for the one of greatest
            score.
        explore: (bit of the explore source, its number of slots), or None without exploration.
    """

    k: int
    rrf_k: int
    weights: tuple[float, ...]
    blend: str = "rrf"
    mmr: float = 0.0
    calibration: float = 0.0
    floor: int = 0
    floor_share: float = 0.0
    reserve: float = 0.0
    artist_cap: int = 2**31 - 1
    album_cap: int = 2**31 - 1
    versions: str = "original"
    explore: tuple[int, int] | None = None


@dataclass(frozen=True)
class CandidateBatch:
    """The candidates of a batch of users as flat arrays: one entry for each user × source × recording.

    Attributes:
        user: int64, the position of the user in the batch, ascending.
        recording: int64, the `recording_idx` of the candidate.
        source: int64, the bit of the source that proposes the recording.
        rank: int64, the rank of the recording in that source, from 1.
        flags: int64, bitmap of the rules that bar the recording for the user; see `eligibility.rule_flags`.
        plays: int64, how often the user played the recording.
        last_day: int64, the last day on which the user played the recording, in days since 1970; −1 if there
            is none or it is unknown.
        heard: bool, whether the user has heard the recording.
        masked: int64 [users], how many recordings a source kept back because of the user's history (heard or
            blocked); the greatest number of any source.
        withheld: int64 [users, rules], how many recordings of the catalogue each rule is the first to bar for
            the user's market and explicit policy, whether proposed or not; 0 for users to whom no source
            proposes anything.
        recording_table: facts of all recordings.
        tastes: the tag distributions of the users, the targets of calibration.
        lot_chance: float64 [users], the probability with which the source explore proposed a recording of its
            list that is new to the user; 1 if it drew nothing for the user.
    """

    user: Int64Array
    recording: Int64Array
    source: Int64Array
    rank: Int64Array
    flags: Int64Array
    plays: Int64Array
    last_day: Int64Array
    heard: NDArray[np.bool_]
    masked: Int64Array
    withheld: Int64Array
    recording_table: RecordingTable
    tastes: TagDistributions
    lot_chance: NDArray[np.float64]

    @property
    def users(self) -> int:
        """The number of users in the batch."""
        return len(self.masked)

    def ends(self) -> Int64Array:
        """Return where the candidates of each user end: int64 [users + 1], beginning with 0."""
        return np.searchsorted(self.user, np.arange(self.users + 1))

    def by_source(self) -> "CandidateBatch":
        """Return the batch with the candidates of each user sorted by source.

        A score is a sum of floats, and its last digits depend on the order of the terms. In this fixed order,
        the same candidates always get the same score.
        """
        place = self.user << 8 | self.source
        if (place[1:] >= place[:-1]).all():
            return self
        order = np.argsort(place, kind="stable")
        return replace(self, **{name: getattr(self, name)[order] for name in FLAT})


@dataclass(frozen=True)
class Picks:
    """The recordings chosen for the users of a batch, in the order of their pools.

    Attributes:
        offsets: int64 [users + 1]; the picks of user u are at `offsets[u]:offsets[u + 1]` of all other
            attributes. These are the columns of `tables.CANDIDATE`.
    """

    offsets: Int64Array
    recording: Int64Array
    score: NDArray[np.float32]
    sources: Int64Array
    reason: Int64Array
    reason_arg: Int64Array
    plays: Int64Array
    last_day: Int64Array
    propensity: NDArray[np.float32]

    def select(self, mask: NDArray[np.bool_], sizes: Int64Array) -> "Picks":
        """Return the picks where `mask` is true.

        Args:
            mask: bool [picks].
            sizes: int64 [users], how many picks of each user `mask` keeps.
        """
        columns = {f.name: getattr(self, f.name)[mask] for f in fields(self) if f.name != "offsets"}
        return Picks(offsets=np.concatenate([[0], np.cumsum(sizes)]), **columns)


@dataclass(frozen=True)
class Pools:
    """The pools of a batch of users.

    Attributes:
        picks: the candidates of the pools.
        reserve: the next candidates after the pool; they replace candidates that are taken down later.
        emitted: int64 [users], the number of distinct recordings that were proposed to each user.
        drops: int64 [users, rules], how many recordings each rule dropped.
        shortfall: for each user, why the pool is smaller than K: the name of a rule, or CATALOGUE; '' for a
            full pool.
    """

    picks: Picks
    reserve: Picks
    emitted: Int64Array
    drops: Int64Array
    shortfall: list[str]


def build_pools(candidates: CandidateBatch, request: PoolRequest) -> Pools:
    """Fuse the candidates of each user, apply the rules, and choose a pool of K and a reserve.

    The score of a recording is computed from its ranks in the sources, never from the scores of the sources:

    - `rrf`: the sum over sources of weight / (rrf_k + rank) (Cormack et al. 2009).
    - `quota`: the greatest weight / rank over sources, and a little more for each further source. Every
      source gets a share of the places in proportion to its weight. When a source has no more candidates,
      the others get its places.

    Of equal scores, the lower `recording_idx` is first. A recording that several rules bar is counted under
    the first of them. A pool has this order:

    1. Candidates by score or, with MMR or calibration, by what each adds to those before it; see
       `greedy_kernel`.
    2. Candidates that complete facet cells (see `facet_floors`); if slots are left, more candidates as in 1.
    3. Candidates that only the source explore proposed. Each was chosen with the probability `propensity`.

    Args:
        candidates: the candidates of a batch of users.
        request: the settings of the blend.

    Returns:
        One pool for each user. The drops of a user and the size of the pool add up to `emitted`; candidates
        of the reserve count as dropped.
    """
    from trackpools.core.kernels.rank_fusion import CandidateArrays
    from trackpools.core.pools.blend_kernel import PoolArrays, blend
    from trackpools.core.pools.shortlist_kernel import RecordingArrays

    c, users, settings = candidates.by_source(), candidates.users, _settings(request)
    ends, quota = c.ends(), request.blend == "quota"
    share = np.asarray(request.weights)[c.source] / (c.rank if quota else request.rrf_k + c.rank)
    capacity = int(np.minimum(np.diff(ends), settings.k + settings.reserve).sum())
    (score, propensity), (sources, first, main) = (
        np.empty((2, capacity), np.float32),
        np.empty((3, capacity), np.int64),
    )
    size, reserved, emitted = np.empty((3, users), np.int64)
    blended = PoolArrays(
        score,
        propensity,
        sources,
        first,
        main,
        size,
        reserved,
        emitted,
        np.zeros((users, len(RULES)), np.int64),
    )
    facts = RecordingArrays(*(getattr(c.recording_table, name) for name in RecordingArrays._fields))
    flat = CandidateArrays(c.recording, c.source, c.rank, share, c.flags, c.heard)
    count = blend(ends, flat, facts, c.tastes, c.lot_chance, settings, blended)
    first, main = first[:count], main[:count]
    plays, carrier = c.plays[first], c.source[main]
    # `reason_arg` is the number in the sentence of the reason: the plays of a played recording, or the rank
    # of a new one in the source that adds most to its score. A recording that the user only rated has no
    # plays, so it gets the sentence of a new one.
    played = c.heard[first] & (plays > 0)
    picks = Picks(
        offsets=np.empty(0, np.int64),
        recording=c.recording[first],
        score=score[:count],
        sources=sources[:count],
        reason=2 * carrier + played,
        reason_arg=np.where(played, plays, c.rank[main]),
        plays=plays,
        last_day=c.last_day[first],
        propensity=propensity[:count],
    )
    in_pool = np.repeat(np.tile([True, False], users), np.stack([size, reserved], axis=1).ravel())
    return Pools(
        picks=picks.select(in_pool, size),
        reserve=picks.select(~in_pool, reserved),
        emitted=emitted,
        drops=blended.drops,
        shortfall=_shortfalls(size, blended.drops, c, request.k),
    )


def _settings(request: PoolRequest) -> "BlendSettings":
    from trackpools.core.pools.greedy_kernel import BlendSettings

    bit, slots = request.explore or (-1, 0)
    floor_slots = int(request.k * request.floor_share) if request.floor > 0 else 0
    return BlendSettings(
        k=request.k,
        reserve=math.ceil(request.k * request.reserve),
        quota=request.blend == "quota",
        original=request.versions == "original",
        mmr=float(request.mmr),
        calibration=float(request.calibration),
        floor=request.floor,
        floor_slots=floor_slots,
        artist_cap=request.artist_cap,
        album_cap=request.album_cap,
        explore_bit=bit,
        explore_slots=slots,
    )


def _shortfalls(size: Int64Array, drops: Int64Array, c: CandidateBatch, k: int) -> list[str]:
    """Return for each user why the pool is smaller than K; '' for a full pool.

    The reason is the rule that removed most recordings, if all rules together removed at least as many as the
    pool lacks. Otherwise it is `CATALOGUE`.
    """
    # The counts are combined by their maximum, not by their sum, because both may contain the same recording:
    # one source masks it, another proposes it, and then the rule drops it.
    taken = np.maximum(drops, c.withheld)
    heard = RULES.index("heard")
    taken[:, heard] = np.maximum(taken[:, heard], c.masked)
    names = []
    for row, got in zip(taken, size, strict=True):
        short = k - got
        names.append(
            ""
            if short <= 0
            else RULES[int(row[:BELOW_CUT].argmax())]
            if row[:BELOW_CUT].sum() >= short
            else CATALOGUE
        )
    return names


def pool_row(pools: Pools, k: int) -> dict[str, object]:
    """Return the pool of the first user as a row.

    Args:
        pools: the result of `build_pools`.
        k: the greatest number of candidates in a pool.

    Returns:
        The fields `candidates`, `reserve`, `drops`, `emitted` and `shortfall` of a row of `tables.POOLS`.
    """
    drops = {name: int(n) for name, n in zip(RULES, pools.drops[0], strict=True) if n}
    pool, rule = _rows(pools.picks), pools.shortfall[0]
    return {
        "candidates": pool,
        "reserve": _rows(pools.reserve),
        "drops": drops,
        "emitted": int(pools.emitted[0]),
        "shortfall": {"wanted": k, "got": len(pool), "rule": rule} if rule else None,
    }


def _rows(picks: Picks) -> list[dict[str, Any]]:
    names = [f.name for f in fields(picks)][1:]
    rows = [
        dict(zip(names, values, strict=True))
        for values in zip(*(getattr(picks, name).tolist() for name in names), strict=True)
    ]
    for row in rows:
        row["last_day"] = None if row["last_day"] < 0 else row["last_day"]
    return rows
