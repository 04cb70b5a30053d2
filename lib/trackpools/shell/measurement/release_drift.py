"""Measure how far plays, users, recordings and scores have drifted since an older release.

The result is two numbers for each distribution: an index of the drift, and its limit of chance.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.evaluation.drift import by_octave, by_quantile, chance_psi, psi
from trackpools.errors import ContractError, InputError
from trackpools.shell.releases.releases import Release, read_pinned
from trackpools.shell.store.store import Store

Read = Callable[[str], DataFrame]
COMPARED = ("user_features", "recording_features", "pools")  # the tables that are read of both releases
PLAYS, USERS, RECORDINGS, SCORES = (
    "plays a listener",
    "listeners by recent plays",
    "listeners a recording",
    "scores in pools",
)
# Beginnings of Spark's error conditions for an older release that cannot be read: `vacuum` deleted its files
# or its Delta log, or an older version of trackpools did not write a column.
UNREADABLE_ERRORS = ("FAILED_READ_FILE", "DELTA_", "UNRESOLVED_COLUMN", "PATH_NOT_FOUND")


@dataclass(frozen=True)
class Older:
    """The older release of a comparison.

    Attributes:
        release_id: Id of the release.
        read: Table name → frame, at the version that the release pins.
    """

    release_id: str
    read: Read

    @staticmethod
    def of(store: Store, release: Release) -> "Older":
        """Return a release as the older one of a comparison; its tables are read with their overlays."""
        return Older(release.release_id, lambda name: read_pinned(store, release, name))


@dataclass(frozen=True)
class Drift:
    """The drift between two releases.

    All attributes are empty if there is no older release, or if it cannot be read or is damaged.

    Attributes:
        since: Id of the older release.
        psi: Name of the distribution → population stability index, a measure of the difference (see
            `core.evaluation.drift`).
        chance: Name of the distribution → limit of chance: for two samples from one distribution, the index
            is below this limit in 19 of 20 cases.
    """

    since: str = ""
    psi: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)


def drift_of(read: Read, older: Older | None, some: Column) -> Drift:
    """Measure the drift between two releases, with one Spark action.

    Users are compared by their plays in 28 days, in bins that each hold about a tenth of the users of the
    older release. The activity deciles of `user_features` are no use here, because each decile holds a tenth
    of the users in every release.

    Args:
        read: Table name → frame of the younger release; it is called for the tables in `COMPARED`.
        older: The older release; with None, the result is empty.
        some: Condition on rows of `pools`; it selects the users whose scores are compared, in both releases.

    Raises:
        ContractError: if a table of the younger release is damaged.
        InputError: if a table of the younger release no longer exists.
    """
    if older is None:
        return Drift()
    try:
        now, before = {name: read(name) for name in COMPARED}, _tables_of(older)
        if before is None:
            return Drift()
        found = _bins(before, now, some).collect()
    except Exception as error:
        # If a file is missing during a broadcast, the error object has no condition, but its text names the
        # condition.
        if not any(f"[{condition}" in str(error) for condition in UNREADABLE_ERRORS):
            raise
        return Drift()
    index, chance = {}, {}
    for name in (PLAYS, USERS, RECORDINGS, SCORES):
        old, new = ([int(row[side]) for row in found if row["name"] == name] for side in ("old", "new"))
        index[name], chance[name] = psi(old, new), chance_psi(old, new)
    return Drift(older.release_id, index, chance)


def _tables_of(older: Older) -> dict[str, DataFrame] | None:
    """Read the tables of the older release; return None if they were deleted or are damaged.

    `drift_of` does not catch these errors for the younger release, because that release is in force.
    """
    try:
        return {name: older.read(name) for name in COMPARED}
    except (ContractError, InputError):
        return None


def _bins(before: Mapping[str, DataFrame], now: Mapping[str, DataFrame], some: Column) -> DataFrame:
    """Count each distribution in bins.

    Returns:
        `name, bin, old, new`: one row for each distribution and bin, with the counts in both releases.
    """

    def both(table: str) -> tuple[DataFrame, DataFrame]:
        return before[table], now[table]

    users, recordings = both("user_features"), both("recording_features")
    scores = [
        pools.where(some).select(F.explode("candidates.score").alias("score")) for pools in both("pools")
    ]
    kinds = {
        PLAYS: by_octave(*users, "plays"),
        USERS: by_quantile(*users, "plays_28d"),
        RECORDINGS: by_octave(*recordings, "listeners"),
        SCORES: by_quantile(scores[0], scores[1], "score"),
    }
    return reduce(
        DataFrame.unionByName, (rows.withColumn("name", F.lit(name)) for name, rows in kinds.items())
    )
