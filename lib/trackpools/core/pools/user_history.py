"""The history of one user as arrays, computed without Spark.

`eligibility.history` computes the same in Spark. A test checks that both results are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from trackpools.config import Config
from trackpools.core.arrays.array_types import BoolArray, Float32Array, Int64Array
from trackpools.core.log.confidence import as_of_factor
from trackpools.core.rules.eligibility import SHORT_MAX
from trackpools.core.sources.user_block import NO_DAY, day_number

# column of `interactions` → (NumPy type, the value that stands for null and for a recording without a row)
INTERACTION_COLUMNS: dict[str, tuple[Any, Any]] = {
    "mass": (np.float64, 0.0),
    "counted": (np.int64, 0),
    "rated": (np.float64, np.nan),
    "plays": (np.int64, 0),
    "first_day": (np.int64, NO_DAY),
    "last_day": (np.int64, NO_DAY),
    "likes": (np.int64, 0),
    "blocked": (np.bool_, False),
}


@dataclass(frozen=True)
class RecentPlay:
    """A play that no table contains yet.

    Attributes:
        recording: the `recording_idx`.
        day: the day of the play.
        completed: whether the recording was played to the end; only such plays add to `mass`.
    """

    recording: int
    day: date
    completed: bool = True


@dataclass(frozen=True)
class UserHistory:
    """The history of one user: one entry for each recording with an interaction.

    The attributes have the meaning of the columns of `eligibility.history`.

    Attributes:
        recording: int64, the `recording_idx`, ascending.
        plays: int64, the number of plays, those with a time and those known only as a total; at most
            SHORT_MAX.
        first_day: int64, the day of the first play, in days since 1970; NO_DAY if unknown.
        last_day: int64, the day of the last play, likewise.
        weight: float32, the positive weight w⁺ of the recording at as_of.
        heard: bool, whether the user has heard the recording.
        blocked: bool, whether the user blocked the recording, or disliked it where `rules.block_disliked` is
            set.
        refused: bool, whether the heard policy (`pools.heard`) refuses the recording because it was heard.
    """

    recording: Int64Array
    plays: Int64Array
    first_day: Int64Array
    last_day: Int64Array
    weight: Float32Array
    heard: BoolArray
    blocked: BoolArray
    refused: BoolArray

    @staticmethod
    def of(
        interactions: pa.Table, config: Config, as_of: datetime, events: Sequence[RecentPlay] = ()
    ) -> "UserHistory":
        """Compute the history from a user's interactions and later plays.

        Args:
            interactions: Arrow table of the user's rows of `tables.INTERACTIONS`.
            config: the merged configuration.
            as_of: the moment at which weights and the heard policy are evaluated.
            events: later plays, which `interactions` does not contain.
        """
        rows = _with(_columns(interactions), events, config)
        heard = (rows["plays"] > 0) | (rows["counted"] > 0) | ~np.isnan(rows["rated"])
        disliked = rows["likes"] < 0
        timed = np.log1p(rows["mass"] * as_of_factor(as_of, config.weights) / config.weights.saturation)
        liked = np.nan_to_num(rows["rated"]) + np.maximum(rows["likes"], 0)
        weight = np.where(
            rows["blocked"] | disliked, 0.0, timed + np.log1p(rows["counted"].astype(np.float64)) + liked
        )
        today = day_number(as_of.date())
        recently = (rows["last_day"] == NO_DAY) | (today - rows["last_day"] < config.rules.heard_days)
        refused = {"mark": False, "only": False, "exclude": True, "not_within": recently}[config.pools.heard]
        return UserHistory(
            recording=rows["recording"],
            plays=np.minimum(rows["plays"] + rows["counted"], SHORT_MAX),
            first_day=rows["first_day"],
            last_day=rows["last_day"],
            weight=weight.astype(np.float32),
            heard=heard,
            blocked=rows["blocked"] | (disliked & config.rules.block_disliked),
            refused=heard & refused,
        )


def _columns(interactions: pa.Table) -> dict[str, Any]:
    rows = interactions.sort_by("recording_idx")
    made = {"recording": rows["recording_idx"].to_numpy().astype(np.int64)}
    for name, (kind, blank) in INTERACTION_COLUMNS.items():
        column = rows[name]
        days = name in {"first_day", "last_day"}
        numbers = (
            column.cast("int32") if days else column.cast("double") if name == "rated" else column
        ).fill_null(blank)
        made[name] = (
            numbers.to_numpy(zero_copy_only=False).astype(kind) if len(numbers) else np.empty(0, kind)
        )
    return made


def _with(rows: dict[str, Any], events: Sequence[RecentPlay], config: Config) -> dict[str, Any]:
    """Return the rows after each event was added to `plays`, `mass`, `first_day` and `last_day`."""
    new = sorted({event.recording for event in events} - set(rows["recording"].tolist()))
    if new:
        place = np.searchsorted(rows["recording"], new)
        blank = {
            name: np.insert(rows[name], place, value) for name, (_, value) in INTERACTION_COLUMNS.items()
        }
        rows = {"recording": np.insert(rows["recording"], place, new)} | blank
    for event in events:
        at, day = int(np.searchsorted(rows["recording"], event.recording)), day_number(event.day)
        rows["plays"][at] += 1
        rows["mass"][at] += event.completed * 2.0 ** (
            (event.day - config.weights.landmark).days / config.weights.half_life_days
        )
        rows["last_day"][at] = max(rows["last_day"][at], day)
        rows["first_day"][at] = day if rows["first_day"][at] == NO_DAY else min(rows["first_day"][at], day)
    return rows
