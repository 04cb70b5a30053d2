"""Benchmark of pools on demand: how long the computation of one user's pool takes, on one core.

The pools are computed from the arrays of a release, whose factors, facts and lists are synthetic.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trackpools.config import Config
from trackpools.core.arrays.recording_table import HAS_FACTS, TAGS, RecordingTable
from trackpools.core.pools import online
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.proposals.release_arrays import MarketMask, ReleaseArrays, Stripe, build_indexes
from trackpools.core.sources import active_sources, als, fresh
from trackpools.core.sources.chart_keys import DECADES, EVERYTHING, chart_keys, code_of_market
from trackpools.core.sources.lookup_arrays import SourceLists
from trackpools.shell.bench.claims import Measured, Ratio, Size
from trackpools.shell.bench.interaction_logs import log
from trackpools.shell.bench.workloads import factors, one_core

# LIMIT_MS: goal for the 99th percentile. KINDS: kinds of recordings. CHART: recordings of a chart.
AS_OF, LIMIT_MS, KINDS, CHART = datetime(2026, 1, 1, tzinfo=UTC), 150, 50, 800
LISTED = 60  # neighbours in the list of a recording


def measure(config: Config, size: Size, rounds: int, progress: Callable[[str], None]) -> Measured:
    """Measure the waiting time for a pool, on a catalogue of a million recordings.

    Each round requests the pool of every user once.

    Returns:
        The ratio of the 99th percentile (the slowest of a hundred requests) ÷ LIMIT_MS. Figures: the 50th,
        95th and 99th percentiles in milliseconds.
    """
    users, recordings = size.of((1000, 1_000_000), (200, 100_000))
    ratio = Ratio(f"p99 ÷ {LIMIT_MS} ms", 1.0, at_most=True)
    found = Measured([ratio])
    progress(f"arrays of a release: {recordings:,} recordings; {users:,} users")
    with one_core():
        release, people = _release(config, recordings), []
        x, _ = factors(users, 1)
        made = log(users, recordings, 300 * users)
        ends = np.searchsorted(made.user, np.arange(users + 1))
        for user in range(users):
            mine = slice(ends[user], ends[user + 1])
            past, vectors = (
                _past(made.recording[mine], made.weight[mine]),
                {"user_factors": x[user]},
            )
            people.append(online.OnlineUser(user, "SE", user % 10 == 0, ("tag 1",), past, vectors))
        online.pool(release, people[0])  # compiles the code
        for number in range(1, rounds + 1):
            progress(f"round {number}")
            waits = np.array([_wait(release, person) for person in people]) * 1000
            for share in (50, 95, 99):
                found.note(f"p{share}, ms", float(np.percentile(waits, share)))
            ratio.values.append(float(np.percentile(waits, 99)) / LIMIT_MS)
    return found


def _wait(release: ReleaseArrays, person: online.OnlineUser) -> float:
    """Return the seconds that the pool of one user takes."""
    began = time.perf_counter()
    online.pool(release, person)
    return time.perf_counter() - began


def _past(recording: Any, weight: Any) -> UserHistory:
    """Return a history in which each of these recordings was heard three times.

    Args:
        recording: `recording_idx` of the heard recordings.
        weight: The weight w⁺ of positive evidence for each of them.
    """
    order = np.argsort(recording)
    recording, weight, many = recording[order].astype(np.int64), weight[order], len(recording)
    days, no = 20_400 - recording % 200, np.zeros(many, bool)
    return UserHistory(recording, np.full(many, 3), days - 30, days, weight, ~no, no, no)


def _release(config: Config, recordings: int) -> ReleaseArrays:
    """Build the arrays of a release with one market, SE.

    The recordings are of fifty kinds, and each artist has ten recordings. Every source that looks up lists gets
    lists.
    """
    rng, everything = np.random.default_rng(2), np.arange(recordings)
    _, y = factors(1, recordings)
    table = RecordingTable.blank(recordings)
    tags = np.zeros((recordings, TAGS), np.int32)
    tags[:, 0], tags[:, 1] = everything % KINDS + 1, everything % (10 * KINDS) + 1001
    facts = {
        "artist": everything // 10 * 10,
        "album": everything // 5 * 5,
        "listeners": recordings // (everything + 1) + 5,
        "tags": tags,
        "decade": everything % 7 + 7,
        "tempo": everything % 3 + 1,
        "group": everything % 30 + 1,
        "band": everything % 3 + 1,
        "marks": np.full(recordings, HAS_FACTS),
        "released": rng.integers(0, 20_454, recordings),
        "sketch": rng.integers(-60, 60, table.sketch.shape),
    }
    for name, values in facts.items():
        getattr(table, name)[:] = values
    idx = everything.astype(np.int32)
    few = recordings // 100
    stripes = (
        Stripe.exact(y, idx)
        if recordings <= config.topk.exact_max
        else Stripe.indexed(y, idx, *build_indexes(y, idx, config.topk.index_stripe))
    )
    market = MarketMask((everything % 20 == 0).astype(np.uint8), np.zeros(13, np.int64))
    return ReleaseArrays(
        config=config,
        as_of=AS_OF,
        recording_table=table,
        markets={"SE": market},
        lists=_lists(config, recordings, tags),
        spaces={
            als.BIT: stripes,
            fresh.BIT: Stripe.exact(y[:few], idx[:few]),
        },
    )


def _lists(config: Config, recordings: int, tags: Any) -> dict[int, SourceLists]:
    """Draw random lists for every active source that looks up lists; return bit of the source → lists.

    The source `tags` gets a list for each tag, and `popular` and `explore` get the charts of one market. All
    other sources get a list for each recording; an artist is numbered like one of its recordings, so that these
    lists also serve artists.

    Args:
        config: The merged configuration.
        recordings: The number of recordings.
        tags: int32 [recordings, TAGS], the tag codes of each recording.
    """
    rng, se = np.random.default_rng(3), code_of_market("SE")
    of_recordings, of_tags = np.arange(recordings), np.unique(tags[tags > 0]).astype(np.int64)
    what = np.concatenate([[EVERYTHING], of_tags, DECADES + np.arange(15)])
    charts = np.sort(
        np.concatenate(
            [chart_keys(np.full(len(what), se), np.full(len(what), clean), what) for clean in (0, 1)]
        )
    )
    kinds = {"tags": (of_tags, 1000), "popular": (charts, CHART), "explore": (charts, 2000)}
    made = {}
    for source in active_sources(config):
        if source.lists is not None:
            keys, length = kinds.get(source.name, (of_recordings, LISTED))
            length = min(length, recordings // 10)
            total = len(keys) * length
            scores = np.tile(np.linspace(1, 0.1, length, dtype=np.float32), len(keys))
            made[source.bit] = SourceLists(
                keys,
                np.arange(len(keys) + 1) * length,
                rng.integers(0, recordings, total, dtype=np.int32),
                scores,
            )
    return made
