"""Distributed confidence intervals (bootstrap) and p-values (sign-flip test) of means over users.

The bootstrap computes the mean many times. In each repetition, called a draw, every user gets a random weight
from Poisson(1) (Chamandy et al. 2012, Estimating uncertainty for massive data streams). This approximates
drawing users with replacement, and does not need to know how many users there are. A weight depends only on
the user, the draw and the seed, so the result does not depend on partitions, apart from rounding.

The sign-flip test asks whether two systems differ on the same users. In each draw, it flips the sign of each
user's difference at random. The p-value is the share of means that are at least as far from 0 as the observed
mean, among the means of all draws and the observed mean itself. The exact test tries all combinations of
signs; this one draws some of them. Smucker et al. 2007 recommend the test for retrieval.
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

from trackpools.core.arrays.array_types import Float64Array, IntArray

DRAWS, SEED = 1000, 1
USERS_AT_A_TIME = 4096  # users whose [draws, users] weights are in memory at once
POISSON_CDF = np.cumsum([math.exp(-1) / math.factorial(n) for n in range(12)])  # P(Poisson(1) ≤ n)
SUMS = ("sums", "flips", "count", "plain")  # the sums over the users of one partition, see `_sums`


@dataclass(frozen=True)
class BootstrapResult:
    """The mean of each column over users: as observed, and in each draw.

    Attributes:
        users: float64 [columns], number of users with a value.
        mean: float64 [columns], observed means.
        draws: float64 [draws, columns], means under the bootstrap weights.
        flips: float64 [draws, columns], means after the sign of each user's value was flipped at random.
    """

    users: Float64Array
    mean: Float64Array
    draws: Float64Array
    flips: Float64Array

    def interval(self, level: float = 0.95) -> tuple[Float64Array, Float64Array]:
        """Return the lower and upper ends of the percentile interval of each column (Efron 1979).

        Args:
            level: confidence level, such as 0.95.

        Returns:
            Two float64 arrays [columns].
        """
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def p_value(self) -> Float64Array:
        """Return the two-sided p-value of each column, float64 [columns], under the sign-flip test.

        Take the flipped means together with the observed mean. The p-value is the share of them that is at
        least as far from 0 as the observed mean, so it is never 0.
        """
        beyond = np.abs(self.flips) >= np.abs(self.mean) * (1 - 1e-12)
        p: Float64Array = (1 + beyond.sum(axis=0)) / (1 + len(self.flips))
        return p


def _mixed(users: IntArray, draws: int, seed: int) -> NDArray[np.uint64]:
    """Hash draw, user and seed by the SplitMix64 finaliser (Steele et al. 2014): uint64 [draws, users]."""
    with np.errstate(over="ignore"):
        z = np.asarray(users).astype(np.uint64)[None] * np.uint64(0x9E3779B97F4A7C15)
        z = z + (
            np.arange(draws, dtype=np.uint64)[:, None] + np.uint64(seed) * np.uint64(1_000_003)
        ) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def draw_weights(users: IntArray, draws: int, seed: int) -> tuple[Float64Array, Float64Array]:
    """Return Poisson(1) weights and random signs ±1, both float64 [draws, users].

    Both come from one 64-bit hash of user, draw and seed: the weight from its 53 highest bits, the sign from
    its lowest bit.

    Args:
        users: integer array [users] of user numbers.
        draws: number of draws.
        seed: seed of the hash.
    """
    z = _mixed(users, draws, seed)
    share = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.searchsorted(POISSON_CDF, share, side="right").astype(np.float64), np.where(
        z & np.uint64(1), 1.0, -1.0
    )


def resample(values: DataFrame, columns: Sequence[str], *, draws: int = DRAWS, seed: int = SEED) -> DataFrame:
    """Sum the weighted and the sign-flipped values of the users of each partition, for every draw.

    Args:
        values: one row for each user: `user_idx` and one double for each of `columns`; a user whose value is
            null does not count in that column.
        columns: names of the columns to resample.
        draws: number of draws.
        seed: seed of the weights and signs.

    Returns:
        One row for each partition, with the binary columns `SUMS`. Collect it as an Arrow table, and pass
        that to `combine_sums`.
    """
    schema = values.select(
        F.col("user_idx").cast("long").alias("user_idx"),
        *(F.col(name).cast("double").alias(name) for name in columns),
    )
    return schema.mapInArrow(
        _summed(list(columns), draws, seed), ", ".join(f"{name} binary" for name in SUMS)
    )


def _sums(
    users: IntArray, values: Float64Array, draws: int, seed: int
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Compute `SUMS` over some users; NaN is a missing value.

    Args:
        users: integer array [users].
        values: float64 [users, columns].
        draws: number of draws.
        seed: seed of the weights and signs.

    Returns:
        Four float64 arrays in the order of `SUMS`. The first three are sums of weighted values, of
        sign-flipped values and of weights (of users with a value), each [draws, columns]. The last, [2,
        columns], has the sums of the values themselves, and the numbers of users with a value.
    """
    known = ~np.isnan(values)
    value = np.where(known, values, 0.0)
    weights, signs = draw_weights(users, draws, seed)
    return weights @ value, signs @ value, weights @ known, np.stack([value.sum(axis=0), known.sum(axis=0)])


def _summed(columns: list[str], draws: int, seed: int) -> Callable[[Iterator[Any]], Iterator[Any]]:
    def run(batches: Iterator[Any]) -> Iterator[Any]:
        parts = [np.zeros((rows, len(columns))) for rows in (draws, draws, draws, 2)]
        for batch in batches:
            for start in range(0, batch.num_rows, USERS_AT_A_TIME):
                part = batch.slice(start, USERS_AT_A_TIME)
                told = np.stack([part[name].to_numpy(zero_copy_only=False) for name in columns], axis=1)
                more = _sums(part["user_idx"].to_numpy(), told, draws, seed)
                parts = [one + other for one, other in zip(parts, more, strict=True)]
        yield pa.RecordBatch.from_pydict(
            {name: pa.array([data.tobytes()], pa.binary()) for name, data in zip(SUMS, parts, strict=True)}
        )

    return run


def combine_sums(parts: pa.Table, columns: int) -> BootstrapResult:
    """Add the sums of all partitions, and divide the totals by the counts to get means.

    Args:
        parts: the result of `resample`, collected as an Arrow table.
        columns: number of resampled columns.
    """

    def added(name: str) -> Float64Array:
        sums: Float64Array = np.sum(
            [np.frombuffer(one.as_buffer()).reshape(-1, columns) for one in parts[name].combine_chunks()],
            axis=0,
        )
        return sums

    return _means(*(added(name) for name in SUMS))


def _means(
    sums: Float64Array, flips: Float64Array, count: Float64Array, plain: Float64Array
) -> BootstrapResult:
    some = np.maximum(plain[1], 1)
    return BootstrapResult(plain[1], plain[0] / some, sums / np.maximum(count, 1), flips / some)


def resample_values(values: Float64Array, *, draws: int = DRAWS, seed: int = SEED) -> BootstrapResult:
    """Resample an array that holds the values of all users, without Spark.

    Args:
        values: float64 [users], one value for each user; NaN is a missing value.
        draws: number of draws.
        seed: seed of the weights and signs.
    """
    return _means(*_sums(np.arange(len(values)), values[:, None], draws, seed))


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for multiple testing (Holm 1979), in the order of the input.

    If a result is called significant when its corrected p-value is below 0.05, the probability of even one
    false positive among all results is at most 5 %.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, least = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        corrected[i] = least
    return corrected
