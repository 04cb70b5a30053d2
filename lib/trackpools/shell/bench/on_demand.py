"""How long one listener waits for a pool that is made on demand, from the arrays of a release, on one core."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from trackpools.config import Config
from trackpools.core import on_demand
from trackpools.core.past import Past
from trackpools.core.shelf import KNOWN, TAGS, Shelf
from trackpools.core.sources import als, enabled, fresh
from trackpools.core.sources.asking import Shelves
from trackpools.core.sources.keys import DECADES, EVERYTHING, chart_keys, code_of_market
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.inputs import factors, one_core
from trackpools.shell.bench.logs import log

AS_OF, LIMIT_MS, KINDS, CHART = datetime(2026, 1, 1, tzinfo=UTC), 150, 50, 800
LISTED = 60  # of a recording's neighbours


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:
    """The slowest of a hundred requests, on a catalogue of a million recordings; each round asks for everybody once."""
    users, recordings = size.of((1000, 1_000_000), (200, 100_000))
    ratio = Ratio(f"p99 ÷ {LIMIT_MS} ms", 1.0, at_most=True)
    found = Measured([ratio])
    tell(f"arrays of a release: {recordings:,} recordings; {users:,} listeners")
    with one_core():
        release, people = _release(config, recordings), []
        x, _ = factors(users, 1)
        made = log(users, recordings, 300 * users)
        ends = np.searchsorted(made.user, np.arange(users + 1))
        for user in range(users):
            mine = slice(ends[user], ends[user + 1])
            past, vectors = (
                _past(made.recording[mine], made.weight[mine]),
                dict.fromkeys((als.BIT, fresh.BIT), x[user]),
            )
            people.append(on_demand.Person(user, "SE", user % 10 == 0, ("tag 1",), past, vectors))
        on_demand.pool(release, people[0])  # compiles
        for number in range(1, rounds + 1):
            tell(f"round {number}")
            waits = np.array([_wait(release, person) for person in people]) * 1000
            for share in (50, 95, 99):
                found.note(f"p{share}, ms", float(np.percentile(waits, share)))
            ratio.values.append(float(np.percentile(waits, 99)) / LIMIT_MS)
    return found


def _wait(release: on_demand.Release, person: on_demand.Person) -> float:
    began = time.perf_counter()
    on_demand.pool(release, person)
    return time.perf_counter() - began


def _past(recording: Any, weight: Any) -> Past:
    order = np.argsort(recording)
    recording, weight, many = recording[order].astype(np.int64), weight[order], len(recording)
    days, no = 20_400 - recording % 200, np.zeros(many, bool)
    return Past(recording, np.full(many, 3), days - 30, days, weight, ~no, no, no)


def _release(config: Config, recordings: int) -> on_demand.Release:
    """Recordings of fifty kinds, ten of an artist; every list that a source may look up."""
    rng, everything = np.random.default_rng(2), np.arange(recordings)
    _, y = factors(1, recordings)
    shelf = Shelf.blank(recordings)
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
        "marks": np.full(recordings, KNOWN),
        "released": rng.integers(0, 20_454, recordings),
        "sketch": rng.integers(-60, 60, shelf.sketch.shape),
    }
    for name, values in facts.items():
        getattr(shelf, name)[:] = values
    idx = everything.astype(np.int32)
    few = recordings // 100
    near = None if recordings <= config.topk.exact_max else config.topk.index_stripe
    market = on_demand.Market((everything % 20 == 0).astype(np.uint8), np.zeros(13, np.int64))
    return on_demand.Release(
        config=config,
        as_of=AS_OF,
        shelf=shelf,
        markets={"SE": market},
        lists=_lists(config, recordings, tags),
        spaces={
            als.BIT: on_demand.Stripe.all_of(y, idx, near),
            fresh.BIT: on_demand.Stripe.all_of(y[:few], idx[:few], None),
        },
    )


def _lists(config: Config, recordings: int, tags: Any) -> dict[int, Shelves]:
    """Of every source that looks lists up: of each recording, which is each artist's too, of each tag, and charts of one market."""
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
    for source in enabled(config):
        if source.lists is not None:
            keys, length = kinds.get(source.name, (of_recordings, LISTED))
            length = min(length, recordings // 10)
            total = len(keys) * length
            scores = np.tile(np.linspace(1, 0.1, length, dtype=np.float32), len(keys))
            made[source.bit] = Shelves(
                keys,
                np.arange(len(keys) + 1) * length,
                rng.integers(0, recordings, total, dtype=np.int32),
                scores,
            )
    return made
