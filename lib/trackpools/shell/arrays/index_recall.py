"""Measure how many of the exact top-k recordings the approximate top-k search finds.

Both searches run for small samples of users. Three of the samples hold users for whom the approximate search
loses recall first.
"""

from dataclasses import replace

import numpy as np
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.arrays.packing import BlockAssignment
from trackpools.core.proposals.block_users import BlockUsers, packed_history, people
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.proposals.propose import rank_by_vectors
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.sources import als
from trackpools.core.sources.user_block import day_number

# Number of users in the sample `overall` and in each other one: enough to distinguish a recall of 0.95 from
# 0.94, and few enough that the measurement takes only some seconds.
OVERALL, HARD = 128, 64


def recall(inputs: PoolInputs) -> dict[str, float]:
    """Measure the recall in four samples of users.

    All samples are drawn from users who have factors:

    - `overall`: from all of them
    - `rarest_market`: users of the market in which the greatest number of recordings is barred
    - `explicit_off`: users who want no explicit recordings
    - `heaviest`: the users with the longest histories

    Returns:
        Name of the sample → recall, the mean over its users. A user's recall is the share of the k new
        recordings of the exact search that the approximate search finds too, where k is `sources.als.k`. A
        sample without users has no entry.
    """
    release = inputs.arrays(_new_only(inputs.config), inputs.as_of)
    samples = {name: users for name, users in _samples(inputs, release).items() if users}
    asked = sorted({user for users in samples.values() for user in users})
    if not asked:
        return {}
    users = _users(inputs, asked, release)
    exact = tuple(stripe._replace(index=None) for stripe in release.spaces[als.BIT])
    truth, near = (
        _found(replace(release, spaces={als.BIT: stripes}), users)
        for stripes in (exact, release.spaces[als.BIT])
    )
    return {
        name: float(np.mean([_share(truth[user], near[user]) for user in some]))
        for name, some in samples.items()
    }


def _new_only(config: Config) -> Config:
    """Return the configuration with new recordings only; heard ones are always searched exactly."""
    return config.model_copy(update={"pools": config.pools.model_copy(update={"heard": "exclude"})})


def measure_recall(inputs: PoolInputs) -> tuple[dict[str, float], list[str]]:
    """Measure the recall, and return it as metrics `recall_<sample>` with a warning for each low one."""
    found = recall(inputs)
    return {f"recall_{name}": share for name, share in found.items()}, recall_warnings(
        found, inputs.config.topk.min_recall, inputs.config.sources.als.k
    )


def recall_warnings(found: dict[str, float], least: float, k: int) -> list[str]:
    """Return a warning for every sample whose recall is below `least`.

    Args:
        found: name of the sample → recall.
        least: the setting `topk.min_recall`.
        k: the number of recordings that each search returned for a user.
    """
    return [
        f"the approximate search finds a share of {share:.3f} of the exact {k} ({name.replace('_', ' ')}), below topk.min_recall={least}; "
        "increase topk.reach or topk.fetch, or set topk.exact_max above the number of recordings"
        for name, share in found.items()
        if share < least
    ]


def _samples(inputs: PoolInputs, release: ReleaseArrays) -> dict[str, list[int]]:
    """Return the users of each sample: `heaviest` by length of history, the others by hash of `user_idx`."""
    known = inputs.vectors["user_factors"].select(F.col("idx").alias("user_idx"))
    people = inputs.users.join(known, "user_idx", "left_semi")
    lengths = inputs.history.groupBy("user_idx").count()
    markets = [row["market"] for row in people.select("market").distinct().collect()]
    rarest = min(markets, key=lambda name: (-_barred(release, name), name), default=None)
    drawn = people.orderBy(F.xxhash64("user_idx"), "user_idx")
    frames = {
        "overall": drawn.limit(OVERALL),
        "rarest_market": drawn.where(F.col("market") == F.lit(rarest)).limit(HARD),
        "explicit_off": drawn.where("clean").limit(HARD),
        "heaviest": people.join(lengths, "user_idx").orderBy(F.desc("count"), "user_idx").limit(HARD),
    }
    return {
        name: [row["user_idx"] for row in frame.select("user_idx").collect()]
        for name, frame in frames.items()
    }


def _barred(release: ReleaseArrays, market: str) -> int:
    """Return how many recordings of the source `als` a market bars."""
    return sum(
        int(np.count_nonzero(~release.allowed_mask(market, False, stripe.idx)))
        for stripe in release.spaces[als.BIT]
    )


def _users(inputs: PoolInputs, asked: list[int], release: ReleaseArrays) -> BlockUsers:
    """Collect these users with their histories and their factors."""
    some = replace(
        inputs,
        users=inputs.users.where(F.col("user_idx").isin(asked)),
        history=inputs.history.where(F.col("user_idx").isin(asked)),
    )
    block = BlockAssignment(len(asked), len(asked))
    rows = people(some, block).toArrow().sort_by("user_idx").combine_chunks()
    history = packed_history(some, block).toArrow()
    today = day_number(inputs.as_of.date())
    return BlockUsers.of(rows, history, release.recording_table, today, ["user_factors"])


def _found(release: ReleaseArrays, users: BlockUsers) -> dict[int, set[int]]:
    """Run the search, and return user_idx → numbers of the recordings that it finds for the user."""
    own = rank_by_vectors(release, users, als.SOURCE)
    lists = np.split(own.recordings, own.ends[1:-1])
    return {user: set(found.tolist()) for user, found in zip(users.block.idx.tolist(), lists, strict=True)}


def _share(exact: set[int], near: set[int]) -> float:
    """Return the share of the exact recordings that the approximate search found; 1 if there are none."""
    return len(exact & near) / len(exact) if exact else 1.0
