"""A pool for one listener, without Spark: the functions of the batch's tasks, over the arrays of a release."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from trackpools.config import Config
from trackpools.core import ann, rules
from trackpools.core.assemble import GIVEN, offered_to, policy
from trackpools.core.bars import look_up
from trackpools.core.past import Past
from trackpools.core.pools import build_pool
from trackpools.core.shelf import Shelf, code_of_tag
from trackpools.core.sources import als, enabled
from trackpools.core.sources.asking import Proposed, Shelves, answered, barred, by_user, offered, seeds_of
from trackpools.core.sources.keys import code_of_market
from trackpools.core.sources.listeners import Listeners, day_number, taste_only
from trackpools.core.sources.merging import keys_of
from trackpools.core.sources.source import Source
from trackpools.core.topk import Allowed, Catalogue, Ragged, best, exact_scores
from trackpools.errors import ConfigError

NO_LISTS = Shelves(
    np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)
)


class Stripe(NamedTuple):
    """Recordings with vectors: all of them by length; factors float32 and idx int32 as the index has them; the index, or None."""

    whole: Catalogue
    y: Any
    idx: Any
    index: Any

    @staticmethod
    def all_of(y: Any, idx: Any, size: int | None) -> "tuple[Stripe, ...]":
        """Of vectors and ascending idx: one without an index, or one for each `size` recordings with the batch's own, built here again and the same."""
        if size is None:
            return (Stripe(Catalogue.of(y, idx), y, idx, None),)
        ann.library().omp_set_num_threads(1)  # as in the batch's tasks, and for good: a request has one core
        with threadpool_limits(1):
            ends = np.searchsorted(idx // size, np.arange(idx[-1] // size + 2))
            parts = [(y[a:b], idx[a:b]) for a, b in itertools.pairwise(ends) if b > a]
            return tuple(Stripe(Catalogue.of(*part), *part, ann.load(ann.build(part[0]))) for part in parts)


@dataclass(frozen=True)
class Market:
    """What a market bars: uint8 by recording_idx, see `bars`, and int64 by rule how many it bars first."""

    bars: Any
    withheld: Any


@dataclass(frozen=True)
class Release:
    """The arrays of a release.

    Attributes:
        lists: by the bit of their source.
        spaces: by the bit of a source that ranks by vectors, those of recordings; they live as long as the release.
    """

    config: Config
    as_of: datetime
    shelf: Shelf
    markets: Mapping[str, Market]
    lists: Mapping[int, Shelves]
    spaces: Mapping[int, tuple[Stripe, ...]]
    masks: dict[tuple[str, bool, int], Any] = field(default_factory=dict)

    def allowed(self, market: str, clean: bool, idx: Any) -> Any:
        """Which of these recordings a market and an explicit policy let pass, bool; kept, for a million take milliseconds."""
        key = (market, clean, id(idx))
        if key not in self.masks:
            bars = look_up(self.markets[market].bars, idx.astype(np.int64))
            self.masks[key] = (
                bars & (rules.UNKNOWN if clean else rules.UNKNOWN & ~rules.BIT["explicit"])
            ) == 0
        return self.masks[key]


@dataclass(frozen=True)
class Person:
    """Who asks.

    Attributes:
        vectors: float32, by the bit of a source that ranks by them; none of those who have none.
    """

    idx: int
    market: str
    clean: bool
    declared: tuple[str, ...]
    past: Past
    vectors: Mapping[int, Any]


def listeners(person: Person, facts: Shelf, as_of: datetime) -> Listeners:
    """The person as a block of one.

    Args:
        facts: of the recordings of the past, in its order.
    """
    past = person.past
    declared = np.array([code_of_tag(tag) for tag in person.declared], np.int64)
    return Listeners(
        idx=np.array([person.idx], np.int32),
        market=np.array([code_of_market(person.market)]),
        clean=np.array([person.clean]),
        declared=(np.array([0, len(declared)]), declared),
        ends=np.array([0, len(past.recording)]),
        recording=past.recording,
        plays=past.plays,
        first_day=past.first_day,
        last_day=past.last_day,
        weight=taste_only(past.weight.astype(np.float64), facts),
        heard=past.heard,
        closed=past.blocked | past.refused,
        facts=facts,
        today=day_number(as_of.date()),
    )


def proposals(release: Release, person: Person) -> dict[int, Proposed]:
    """What each source that is switched on proposes, by its bit; none of those that know nothing of the person."""
    one = listeners(person, release.shelf.at(person.past.recording), release.as_of)
    vectors = {
        bit: (np.zeros(1, np.int64), vector[None].astype(np.float32))
        for bit, vector in person.vectors.items()
    }
    return {
        bit: found
        for bit, found in proposed(release, one, [person.market], vectors).items()
        if len(found.recordings)
    }


def proposed(
    release: Release, block: Listeners, markets: Sequence[str], vectors: Mapping[int, tuple[Any, Any]]
) -> dict[int, Proposed]:
    """What each source that is switched on proposes to a block of listeners, by its bit.

    Args:
        markets: of each listener, the group by name.
        vectors: by the bit of a source that ranks by them, whose rows of the block have some, ascending, and float32 [rows, length].
    """
    config, made = release.config, {}
    for source in enabled(config):
        settings = getattr(config.sources, source.name)
        if source.lists is not None:
            seeds = seeds_of(source, block, settings)
            past = barred(block, new=source.emits == "new")
            asked = (by_user(seeds.user, block.users), seeds.key, seeds.weight)
            made[source.bit] = answered(
                source,
                asked,
                release.lists.get(source.bit, NO_LISTS),
                past,
                users=block.idx,
                k=settings.k,
                today=block.today,
            )
        elif source.offers is not None:
            made[source.bit] = offered(source, block, settings)
        elif source.bit not in release.spaces:
            raise ConfigError(
                f"source {source.name} proposes in its own way, which pools on demand do not know; switch it off, or make it one of lists"
            )
        elif source.bit in vectors:
            made[source.bit] = ranked(release, block, markets, vectors[source.bit], source)
    return made


def pool(
    release: Release, person: Person, unasked: Callable[[Shelf], Any] | None = None
) -> dict[str, object]:
    """The row of `tables.POOLS` that the batch would write, without what is the same for all; see `pools.build_pool`.

    Args:
        unasked: of facts of recordings, which of them the request does not want: bool; they are dropped as `request`.
    """
    past, found = person.past, proposals(release, person)
    offered = np.concatenate([np.empty(0, np.int32), *(one.recordings for one in found.values())])
    bits = rules.HEARD * past.heard + rules.BLOCKED * past.blocked + rules.REFUSED * past.refused
    given = {
        "masked": [max((int(one.masked[0]) for one in found.values()), default=-1)],
        "offered_to": [0] * len(found),
        "source": list(found),
        "length": [len(one.recordings) for one in found.values()],
        "offered": offered,
        "past": [0, len(past.recording)],
        "recording_idx": past.recording,
        "plays": past.plays,
        "last_day": past.last_day,
        "bits": bits,
        "weight": past.weight,
    }
    typed = {name: np.asarray(given[name], kind) for name, kind in GIVEN.items()}
    market, by = release.markets[person.market], policy(release.config, release.as_of)
    return build_pool(
        offered_to(
            typed,
            np.array([person.clean]),
            (market.bars, market.withheld),
            release.shelf,
            by,
            unasked=unasked,
        ),
        by.request,
    )


def ranked(
    release: Release, block: Listeners, markets: Sequence[str], vectors: tuple[Any, Any], source: Source
) -> Proposed:
    """As `als.ranked`, of a block; arguments as `proposed` has them."""
    from trackpools.core.selection import unpack

    (rows, x), topk, settings = vectors, release.config.topk, getattr(release.config.sources, source.name)
    k_new, k_heard = als.sizes(release.config, settings) if source.bit == als.BIT else (settings.k, 0)
    met, open_ = block.heard | block.closed, block.heard & ~block.closed  # what is refused was heard
    mask, listed = _lists(block, met).pick(rows), _lists(block, open_).pick(rows)
    groups, group = np.unique(
        [f"{clean:d}{markets[row]}" for row, clean in zip(rows, block.clean[rows], strict=True)],
        return_inverse=True,
    )
    parts: list[list[Any]] = [[], []]
    for stripe in release.spaces[source.bit]:
        whole, y, idx, index = stripe
        allowed = Allowed(
            group.astype(np.int32),
            np.stack([release.allowed(name[1:], name[0] == "1", idx) for name in groups.tolist()]),
        )
        effort = ann.Effort(topk.reach, topk.fetch)
        new = (
            ann.top_k(x, y, idx, mask, k_new, index=index, effort=effort, allowed=allowed, whole=whole)
            if k_new
            else None
        )
        known = _listed(whole, x, listed, k_heard, allowed) if k_heard and len(idx) else None
        parts[0].append(keys_of(new, len(rows), k_new))
        parts[1].append(keys_of(known, len(rows), k_heard))
    both = [
        np.sort(np.concatenate(found, axis=1), axis=1)[:, :k]
        for found, k in zip(parts, (k_new, k_heard), strict=True)
    ]
    keys = np.sort(np.concatenate(both, axis=1), axis=1)
    row, idx, score = (
        np.empty(keys.size, np.int64),
        np.empty(keys.size, np.int32),
        np.empty(keys.size, np.float32),
    )
    found = unpack(keys, keys.shape[1], 0, 0, row, idx, score)
    masked = np.zeros(block.users, np.int32)
    masked[rows] = np.diff(mask.offsets) - np.diff(listed.offsets)
    return Proposed(
        np.searchsorted(rows[row[:found]], np.arange(block.users + 1)), idx[:found], score[:found], masked
    )


def _lists(block: Listeners, kept: Any) -> Ragged:
    """Of each listener, the recordings of the history that are `kept`."""
    return Ragged(np.concatenate([[0], np.cumsum(kept)])[block.ends], block.recording[kept].astype(np.int32))


def _listed(catalogue: Catalogue, x: Any, recordings: Ragged, k: int, allowed: Allowed) -> Any:
    """As `topk.top_listed`, of the recordings of a catalogue that lies by length."""
    rows, wanted = recordings.of(0, len(x))
    there = np.searchsorted(catalogue.known, wanted)
    known = catalogue.known[np.minimum(there, len(catalogue.known) - 1)] == wanted
    rows, there = rows[known], there[known]
    may = allowed.masks[allowed.group[rows], there]
    rows, there = rows[may], there[may]
    return best(rows, catalogue.known[there], exact_scores(x, catalogue.y, rows, catalogue.place[there]), k)
