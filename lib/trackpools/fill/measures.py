"""What a suite of fills shows: shares with intervals, by constraint and by family; and whether a model chooses by place instead of by worth."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trackpools.fill.contract import Told
from trackpools.fill.suite import Case

Z = 1.959963984540054  # of 95 %
BIAS = 0.05  # of the list: a mean place farther from the middle than this, by its interval, is no accident


@dataclass(frozen=True)
class Outcome:
    """One prompt of one listener.

    Attributes:
        understood: whether the prompt was read as it is meant, nothing left over.
        told: of what is meant, judged from the finished playlist.
        possible: of pool, retrieval and catalogue, whether such a playlist exists there.
        by_model: share of the tracks that the model chose.
        moved: share of the playlist that the prompt-free order of the pool would not have had.
        artists: distinct artists a track.
        outside: tracks that are no candidates; `repeated` those whose song is there before.
    """

    case: Case
    understood: bool
    told: tuple[Told, ...]
    possible: Mapping[str, bool]
    by_model: float
    moved: float
    artists: float
    milliseconds: float
    tokens: int
    cost: float
    degraded: str
    outside: int = 0
    repeated: int = 0

    @property
    def met(self) -> bool:
        """Whether all that is meant holds."""
        return all(one.met for one in self.told)


@dataclass(frozen=True)
class Measure:
    """A mean over `count` fills with its interval of 95 %; of a quantile low and high are NaN."""

    name: str
    of: str
    value: float
    low: float
    high: float
    count: int


def wilson(hits: int, count: int) -> tuple[float, float, float]:
    """A share and its interval (Wilson 1927), which stays within 0 and 1 and does not vanish at them."""
    if count == 0:
        return math.nan, 0.0, 1.0
    share, more = hits / count, Z * Z / count
    middle = (share + more / 2) / (1 + more)
    half = Z / (1 + more) * math.sqrt(share * (1 - share) / count + more / (4 * count))
    return share, max(middle - half, 0.0), min(middle + half, 1.0)


def measures(outcomes: Sequence[Outcome]) -> list[Measure]:
    """All of them: over all fills, by family, and by what was asked for."""
    made: list[Measure] = []
    slices: dict[str, list[Outcome]] = {"all": list(outcomes)}
    for one in outcomes:
        slices.setdefault(f"family={one.case.family}", []).append(one)
    for of, some in slices.items():
        made.append(_share("satisfied", of, (one.met for one in some)))
        possible = [one for one in some if one.possible["catalogue"]]
        made.append(_share("satisfied_of_possible", of, (one.met for one in possible)))
        made.append(_share("understood", of, (one.understood for one in some)))
        made += [
            _share(f"possible_{where}", of, (one.possible[where] for one in some))
            for where in ("pool", "retrieval", "catalogue")
        ]
    made += [_mean(name, outcomes, told) for name, told in MEANS.items()]
    made.append(_share("degraded", "all", (bool(one.degraded) for one in outcomes)))
    times = [one.milliseconds for one in outcomes]
    made += [
        Measure(f"milliseconds_p{q}", "all", float(np.percentile(times, q)), math.nan, math.nan, len(times))
        for q in (50, 99)
        if times
    ]
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for outcome in outcomes:
        for said in outcome.told:
            by_kind["part" if said.name.startswith("part ") else said.name].append(said.met)
    made += [_share("met", f"constraint={name}", held) for name, held in sorted(by_kind.items())]
    return made


MEANS: Mapping[str, Callable[[Outcome], float]] = {
    "chosen_by_model": lambda one: one.by_model,
    "moved": lambda one: one.moved,
    "artists_a_track": lambda one: one.artists,
    "tokens": lambda one: float(one.tokens),
    "cost": lambda one: one.cost,
}


def _share(name: str, of: str, told: Iterable[bool]) -> Measure:
    found = list(told)
    return Measure(name, of, *wilson(sum(found), len(found)), len(found))


def _mean(name: str, outcomes: Sequence[Outcome], told: Callable[[Outcome], float]) -> Measure:
    return mean(name, "all", [told(one) for one in outcomes])


def mean(name: str, of: str, told: Sequence[float]) -> Measure:
    """A mean and its normal interval."""
    values = np.array(told, np.float64)
    if not len(values):
        return Measure(name, of, math.nan, math.nan, math.nan, 0)
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Measure(
        name, of, float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, len(values)
    )


@dataclass(frozen=True)
class Audit:
    """Whether a model's choice follows the places of candidates: the same candidates, shown in other orders.

    Attributes:
        place: mean place of what is chosen, of 0 (shown first) to 1 (last); without bias 0.5.
        agreement: mean share of the choice that two orders have in common; `chance` is what drawing by lot would have.
    """

    place: Measure
    agreement: float
    chance: float

    @property
    def biased(self) -> bool:
        """Whether the place matters beyond chance."""
        return self.place.low > 0.5 + BIAS or self.place.high < 0.5 - BIAS


def audited(orders: Sequence[Sequence[tuple[frozenset[int], Sequence[int], int]]]) -> Audit:
    """From, of each request and each order it was shown in: the rows chosen, their places from 0, and how many were shown.

    The interval is over requests: choices within one are no independent draws.
    """
    means, shared, chances = [], [], []
    for request in orders:
        told = [
            np.mean([(place + 0.5) / shown for place in places])
            for _, places, shown in request
            if len(places)
        ]
        if told:
            means.append(float(np.mean(told)))
        for at, (chosen, _, shown) in enumerate(request):
            for other, _, _ in request[at + 1 :]:
                if chosen and other:
                    shared.append(len(chosen & other) / min(len(chosen), len(other)))
                    chances.append(max(len(chosen), len(other)) / shown)
    return Audit(
        mean("place", "all", means),
        float(np.mean(shared)) if shared else math.nan,
        float(np.mean(chances)) if chances else math.nan,
    )
