"""Measure the fills of a suite: shares with intervals, by family of prompts and by constraint.

An audit also shows whether a model chooses candidates by their place in its prompt, instead of by their worth.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from trackpools.fill.contract.messages import ConstraintResult
from trackpools.fill.suite.cases import Case

Z = 1.959963984540054  # normal quantile of a two-sided interval of 95 %
# A model is biased if the whole interval of the mean place is farther than this from the middle, 0.5.
BIAS = 0.05


@dataclass(frozen=True)
class Outcome:
    """The result of one prompt for one user.

    Attributes:
        case: the prompt and what it means.
        understood: whether the prompt was understood as it is meant, with no words left over.
        told: the verdict on each constraint that the prompt means, judged from the finished playlist.
        possible: `pool`, `retrieval` or `catalogue` → whether a satisfying playlist exists among these tracks.
        by_model: share of the tracks that the model chose.
        moved: share of the tracks that are not among the first candidates; of these, as many count as the
            playlist has tracks.
        artists: number of distinct main artists, divided by the number of tracks.
        milliseconds: time of the fill.
        tokens: tokens of the model's messages and answers.
        cost: cost of the model, in the currency of the prices.
        degraded: why the model contributed too little; empty if it contributed enough, or was not asked.
        outside: number of tracks that are not among the candidates; it should be 0.
        repeated: number of tracks whose song is in the playlist already; it should be 0.
    """

    case: Case
    understood: bool
    told: tuple[ConstraintResult, ...]
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
    def is_satisfied(self) -> bool:
        """Whether the playlist satisfies every constraint that the prompt means."""
        return all(one.met for one in self.told)


@dataclass(frozen=True)
class SuiteMeasure:
    """A mean or quantile over fills.

    Attributes:
        name: name of the measure.
        of: the fills that are measured: `all`, `family=…` or `constraint=…`.
        value: the mean or quantile.
        low, high: the ends of the 95 % interval of a mean; NaN for a quantile.
        count: number of values.
    """

    name: str
    of: str
    value: float
    low: float
    high: float
    count: int


def wilson(hits: int, count: int) -> tuple[float, float, float]:
    """Return a share with the low and high end of its 95 % interval (Wilson 1927).

    The interval stays within 0 and 1, and has a width even if the share is 0 or 1.
    """
    if count == 0:
        return math.nan, 0.0, 1.0
    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return hits / count, float(interval.low), float(interval.high)


def measure_outcomes(outcomes: Sequence[Outcome]) -> list[SuiteMeasure]:
    """Compute all measures: over all fills, by family of prompts, and by constraint."""
    made: list[SuiteMeasure] = []
    slices: dict[str, list[Outcome]] = {"all": list(outcomes)}
    for one in outcomes:
        slices.setdefault(f"family={one.case.family}", []).append(one)
    for of, some in slices.items():
        made.append(_share("satisfied", of, (one.is_satisfied for one in some)))
        possible = [one for one in some if one.possible["catalogue"]]
        made.append(_share("satisfied_of_possible", of, (one.is_satisfied for one in possible)))
        made.append(_share("understood", of, (one.understood for one in some)))
        made += [
            _share(f"possible_{where}", of, (one.possible[where] for one in some))
            for where in ("pool", "retrieval", "catalogue")
        ]
    made += [_mean(name, outcomes, told) for name, told in MEANS.items()]
    made.append(_share("degraded", "all", (bool(one.degraded) for one in outcomes)))
    times = [one.milliseconds for one in outcomes]
    made += [
        SuiteMeasure(
            f"milliseconds_p{q}", "all", float(np.percentile(times, q)), math.nan, math.nan, len(times)
        )
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


def _share(name: str, of: str, told: Iterable[bool]) -> SuiteMeasure:
    found = list(told)
    return SuiteMeasure(name, of, *wilson(sum(found), len(found)), len(found))


def _mean(name: str, outcomes: Sequence[Outcome], told: Callable[[Outcome], float]) -> SuiteMeasure:
    return mean(name, "all", [told(one) for one in outcomes])


def mean(name: str, of: str, told: Sequence[float]) -> SuiteMeasure:
    """Return the mean of values with its 95 % interval by the normal approximation.

    The interval of a single value is infinite; without values, all numbers are NaN.
    """
    values = np.array(told, np.float64)
    if not len(values):
        return SuiteMeasure(name, of, math.nan, math.nan, math.nan, 0)
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return SuiteMeasure(
        name, of, float(values.mean()), float(values.mean()) - half, float(values.mean()) + half, len(values)
    )


@dataclass(frozen=True)
class Audit:
    """Whether a model's choice depends on the places of candidates, shown to it in several orders.

    Attributes:
        place: mean place of the chosen candidates, from 0 (shown first) to 1 (shown last); 0.5 without bias.
        agreement: mean, over pairs of orders, of the chosen candidates that both have, as a share of the
            smaller choice.
        chance: the agreement that random choices of the same sizes would have.
    """

    place: SuiteMeasure
    agreement: float
    chance: float

    @property
    def biased(self) -> bool:
        """Whether the place matters beyond chance."""
        return self.place.low > 0.5 + BIAS or self.place.high < 0.5 - BIAS


def audit_places(orders: Sequence[Sequence[tuple[frozenset[int], Sequence[int], int]]]) -> Audit:
    """Audit the choices of a model for the same requests in several orders.

    The interval is over requests, because the choices within one request are not independent.

    Args:
        orders: for each request, one tuple for each order: the chosen rows of the catalogue, their places in
            the shown list from 0, and the number of shown candidates.
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
