"""The inputs from which pools are made, with lazy frames of users."""

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame

from trackpools.core.proposals.release_arrays import OpenArrays
from trackpools.core.sources.source_inputs import UserInputs


@dataclass(frozen=True, kw_only=True)
class PoolInputs(UserInputs):
    """The users to make pools for, and what is known about them and about recordings.

    Attributes:
        vectors: table of users' vectors, as in `Source.vectors` → its rows, `idx int, factors array<float>`.
        arrays: opens the arrays of the release in a task.
    """

    vectors: Mapping[str, DataFrame]
    arrays: OpenArrays
