"""The taste of each user as arrays: the shares of tags to which the user's pool is calibrated."""

from typing import NamedTuple

import numpy as np

from trackpools.core.arrays.array_types import Float64Array, Int64Array


class TagDistributions(NamedTuple):
    """The share that each tag has in the taste of each user; see `tag_distribution.tag_distributions`.

    Attributes:
        ends: int64 [users + 1]; the entries of user u are at `ends[u]:ends[u + 1]` of the other arrays.
        tag: int64, the code of the tag as in `RecordingTable.tags`; 0 stands for recordings without a tag.
        share: float64; the shares of one user sum to 1.
    """

    ends: Int64Array
    tag: Int64Array
    share: Float64Array

    @staticmethod
    def empty(users: int) -> "TagDistributions":
        """Return distributions without any tag for `users` users."""
        return TagDistributions(np.zeros(users + 1, np.int64), np.empty(0, np.int64), np.empty(0))
