"""How sure a mean over users is: the bootstrap and the sign-flip test, distributed; a user's weight in a draw depends on nothing but user, draw and seed.

The bootstrap draws Poisson(1) weights (Chamandy et al. 2012, Estimating uncertainty for massive data streams), which is resampling users with replacement
without knowing how many there are. Flipping the signs of paired differences is the exact test of no difference between two systems on the same users
(Smucker et al. 2007 find it the one to use for retrieval).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

DRAWS, SEED, USERS = 1000, 1, 4096
LADDER = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(12)])  # P(Poisson(1) ≤ n)
SUMS = ("sums", "flips", "count", "plain")  # what is kept of a partition, see `_sums`
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resampled:
    """Means of each column over users, and in each draw.

    Attributes:
        users: float64 [columns], with a value.
        mean: float64 [columns].
        draws: float64 [draws, columns], means under the bootstrap.
        flips: float64 [draws, columns], means with signs flipped at random.
    """

    users: Floats
    mean: Floats
    draws: Floats
    flips: Floats

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Lower and upper ends [columns], by percentiles of the bootstrap (Efron 1979)."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def p_value(self) -> Floats:
        """[columns]: how often a flipped mean is as far from 0 as the real one, two-sided; never 0."""
        beyond = np.abs(self.flips) >= np.abs(self.mean) * (1 - 1e-12)
        p: Floats = (1 + beyond.sum(axis=0)) / (1 + len(self.flips))
        return p


def _mixed(users: Any, draws: int, seed: int) -> Any:
    """uint64 [draws, users], a hash of each pair: the finaliser of SplitMix64 (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = np.asarray(users).astype(np.uint64)[None] * np.uint64(0x9E3779B97F4A7C15)
        z = z + (
            np.arange(draws, dtype=np.uint64)[:, None] + np.uint64(seed) * np.uint64(1_000_003)
        ) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def drawn(users: Any, draws: int, seed: int) -> tuple[Floats, Floats]:
    """([draws, users] Poisson(1) weights, as many signs): of two bits apart of one hash."""
    z = _mixed(users, draws, seed)
    share = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(LADDER, share, side="right").astype(np.float64), np.where(
        z & np.uint64(1), 1.0, -1.0
    )


def resampled(
    values: DataFrame, columns: Sequence[str], *, draws: int = DRAWS, seed: int = SEED
) -> DataFrame:
    """Partial sums, a row a partition, for `total`.

    Args:
        values: `user_idx` and a double a column, a row a user; a null counts as no user in that column.
    """
    schema = values.select(
        F.col("user_idx").cast("long").alias("user_idx"),
        *(F.col(name).cast("double").alias(name) for name in columns),
    )
    return schema.mapInArrow(
        _summed(list(columns), draws, seed), ", ".join(f"{name} binary" for name in SUMS)
    )


def _sums(users: Any, values: Floats, draws: int, seed: int) -> tuple[Floats, Floats, Floats, Floats]:
    """`SUMS` of some users: of weighted values, of flipped ones, of weights, each [draws, columns], and of values and users [2, columns]; NaN is no value."""
    known = ~np.isnan(values)
    value = np.where(known, values, 0.0)
    weights, signs = drawn(users, draws, seed)
    return weights @ value, signs @ value, weights @ known, np.stack([value.sum(axis=0), known.sum(axis=0)])


def _summed(columns: list[str], draws: int, seed: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        parts = [np.zeros((rows, len(columns))) for rows in (draws, draws, draws, 2)]
        for batch in batches:
            for start in range(0, batch.num_rows, USERS):
                part = batch.slice(start, USERS)
                told = np.stack([part[name].to_numpy(zero_copy_only=False) for name in columns], axis=1)
                more = _sums(part["user_idx"].to_numpy(), told, draws, seed)
                parts = [one + other for one, other in zip(parts, more, strict=True)]
        yield pa.RecordBatch.from_pydict(
            {name: pa.array([data.tobytes()], pa.binary()) for name, data in zip(SUMS, parts, strict=True)}
        )

    return run


def total(parts: Any, columns: int) -> Resampled:
    """Of the collected Arrow table of `resampled`."""

    def added(name: str) -> Floats:
        sums: Floats = np.sum(
            [np.frombuffer(one.as_buffer()).reshape(-1, columns) for one in parts[name].combine_chunks()],
            axis=0,
        )
        return sums

    return _means(*(added(name) for name in SUMS))


def _means(sums: Floats, flips: Floats, count: Floats, plain: Floats) -> Resampled:
    some = np.maximum(plain[1], 1)
    return Resampled(plain[1], plain[0] / some, sums / np.maximum(count, 1), flips / some)


def of_values(values: Floats, *, draws: int = DRAWS, seed: int = SEED) -> Resampled:
    """The same of an array of users' values, for whoever holds them all."""
    return _means(*_sums(np.arange(len(values)), values[:, None], draws, seed))


def holm(p_values: Sequence[float]) -> list[float]:
    """The same, corrected for how many there are (Holm 1979): one below a level is false with at most that probability for all together."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, least = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = least
    return corrected
