"""Draw random interactions of users with recordings for benchmarks, similar to MovieLens 20M.

The activity of users is log-normal, and the popularity of recordings follows a power law. Each user and each
recording is of one of a few kinds of taste.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.shell.bench.claims import Size


@dataclass(frozen=True)
class Log:
    """Distinct pairs of a user and a recording, ordered by user.

    Attributes:
        users, recordings: The numbers of users and recordings.
        user: int32, the `user_idx` of each pair, ascending.
        recording: int32, the `recording_idx` of each pair.
        weight: float32, the weight w⁺ of positive evidence for each pair.
    """

    users: int
    recordings: int
    user: NDArray[np.int32]
    recording: NDArray[np.int32]
    weight: NDArray[np.float32]

    def csr(self, alpha: float) -> Any:
        """Return the matrix that `implicit` trains on: sparse float32 [users, recordings] of c = 1 + α·w⁺.

        Args:
            alpha: The factor α.
        """
        from scipy.sparse import csr_matrix

        return csr_matrix(
            (1 + np.float32(alpha) * self.weight, (self.user, self.recording)),
            shape=(self.users, self.recordings),
        )


def log(users: int, recordings: int, interactions: int, seed: int = 0, kinds: int = 20) -> Log:
    """Draw a log; on average, four of five draws of a user or more are of the user's own kind of taste.

    Args:
        users: The number of users.
        recordings: The number of recordings.
        interactions: The approximate number of pairs.
        seed: The seed of all draws.
        kinds: The number of kinds of taste.
    """
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
    """Draw the log of the benchmarks `train` and `foldin`, with about 65 interactions for each user.

    The full size is 138,000 users × 20,000 recordings with about 9 M interactions; the small size has about a
    tenth of the interactions.
    """
    users, recordings = size.of((138_000, 20_000), (14_000, 6_000))
    return log(users, recordings, 65 * users)
