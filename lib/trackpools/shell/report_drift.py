"""What has changed since an older release, for the report: how listeners, recordings and scores are spread, bin by bin; bounded output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.drift import by_chance, by_octave, by_quantile, psi
from trackpools.errors import InputError
from trackpools.shell.releases import Release, view
from trackpools.shell.store import Store

Read = Callable[[str], DataFrame]
PLAYS, USERS, RECORDINGS, SCORES = (
    "plays a listener",
    "listeners by recent plays",
    "listeners a recording",
    "scores in pools",
)
# files or log that vacuum took, a column that an older trackpools did not write
GONE = ("FAILED_READ_FILE", "DELTA_", "UNRESOLVED_COLUMN", "PATH_NOT_FOUND")


@dataclass(frozen=True)
class Older:
    """A release to compare with: its id, and how to read a table as it pins it."""

    release_id: str
    read: Read

    @staticmethod
    def of(store: Store, release: Release) -> "Older":
        """With what refreshes put over it."""
        return Older(release.release_id, lambda name: view(store, release, name))


@dataclass(frozen=True)
class Drift:
    """Empty where no older release can be read.

    Attributes:
        since: id of the older release.
        psi: what is spread → population stability index.
        chance: the same names → the index that two samples of one spread stay below 19 times in 20.
    """

    since: str = ""
    psi: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, float] = field(default_factory=dict)


def drift_of(read: Read, older: Older | None, some: Column) -> Drift:
    """Of two releases in one job.

    The activity deciles of `user_features` hold a tenth of the users each in every release, and so cannot drift: users are told by their plays of 28 days,
    in tenths of the older release.

    Args:
        read: a table as the younger release pins it; asked for user_features, recording_features and pools.
        some: of which users scores are looked at; the same share of both releases.
    """
    if older is None:
        return Drift()
    try:
        found = _bins(older.read, read, some).collect()
    except InputError:
        return Drift()
    except Exception as error:
        # a file that is gone while a broadcast is made comes as no class of Spark's; its condition stands in the text
        if not any(f"[{condition}" in str(error) for condition in GONE):
            raise
        return Drift()
    index, chance = {}, {}
    for name in (PLAYS, USERS, RECORDINGS, SCORES):
        old, new = ([int(row[side]) for row in found if row["name"] == name] for side in ("old", "new"))
        index[name], chance[name] = psi(old, new), by_chance(old, new)
    return Drift(older.release_id, index, chance)


def _bins(before: Read, now: Read, some: Column) -> DataFrame:
    """`name, bin, old, new`."""

    def both(table: str) -> tuple[DataFrame, DataFrame]:
        return before(table), now(table)

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
