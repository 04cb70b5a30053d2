"""Interactions shaped like MovieLens 20M: log-normal users, Zipf recordings, tastes of a few kinds; made in memory, for benchmarks only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.shell.bench import Size


@dataclass(frozen=True)
class Log:
    """Distinct pairs: user idx, recording idx (int32) and w⁺ (float32); users ascending."""

    users: int
    recordings: int
    user: NDArray[np.int32]
    recording: NDArray[np.int32]
    weight: NDArray[np.float32]

    def csr(self, alpha: float) -> Any:
        """The matrix implicit trains on: c = 1 + α·w⁺."""
        from scipy.sparse import csr_matrix

        return csr_matrix(
            (1 + np.float32(alpha) * self.weight, (self.user, self.recording)),
            shape=(self.users, self.recordings),
        )


def log(users: int, recordings: int, interactions: int, seed: int = 0, kinds: int = 20) -> Log:
    """About so many interactions; a user takes four of five recordings from the kind that is his."""
    rng = np.random.default_rng(seed)
    activity = rng.lognormal(0, 1.1, users)
    drawn = np.minimum(np.maximum(1, activity / activity.sum() * interactions * 1.3), recordings // 4).astype(
        np.int64
    )
    user = np.repeat(np.arange(users), drawn)
    popularity = np.cumsum(1 / np.arange(1, recordings // kinds + 1) ** 0.8)
    rank = np.searchsorted(popularity, rng.random(len(user)) * popularity[-1])
    kind = np.where(rng.random(len(user)) < 0.8, user % kinds, rng.integers(0, kinds, len(user)))
    cells = np.unique(user * np.int64(recordings) + np.minimum(rank * kinds + kind, recordings - 1))
    weight = np.log1p(rng.gamma(1.0, 3.0, len(cells))).astype(np.float32)
    return Log(
        users,
        recordings,
        (cells // recordings).astype(np.int32),
        (cells % recordings).astype(np.int32),
        weight,
    )


def sized(size: Size) -> Log:
    """The log of the claims, 138 k users × 20 k recordings and some 9 M interactions, or a tenth of it; as many a user at other sizes."""
    users, recordings = size.of((138_000, 20_000), (14_000, 6_000))
    return log(users, recordings, 65 * users)
