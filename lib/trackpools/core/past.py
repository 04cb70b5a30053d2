"""What one listener met, as arrays: the twin of `rules.history` for whoever asks without Spark; a test holds the two together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from trackpools.config import Config
from trackpools.core.rules import SHORT_MAX
from trackpools.core.sources.listeners import NEVER, day_number
from trackpools.core.weights import as_of_factor

# columns of `interactions`, and what they are where there is nothing: NaN and NEVER stand for null
BLANK: dict[str, tuple[Any, Any]] = {
    "mass": (np.float64, 0.0),
    "counted": (np.int64, 0),
    "rated": (np.float64, np.nan),
    "plays": (np.int64, 0),
    "first_day": (np.int64, NEVER),
    "last_day": (np.int64, NEVER),
    "likes": (np.int64, 0),
    "blocked": (np.bool_, False),
}


@dataclass(frozen=True)
class Event:
    """A play that no table has yet: which recording, on which day, and whether it was heard to the end."""

    recording: int
    day: date
    completed: bool = True


@dataclass(frozen=True)
class Past:
    """Of each recording that was met, ascending; see `rules.history`.

    Attributes:
        recording, plays, first_day, last_day: int64; days since 1970, NEVER where unknown.
        weight: float32, w⁺.
        heard, blocked, refused: bool.
    """

    recording: Any
    plays: Any
    first_day: Any
    last_day: Any
    weight: Any
    heard: Any
    blocked: Any
    refused: Any

    @staticmethod
    def of(interactions: Any, config: Config, as_of: datetime, events: Sequence[Event] = ()) -> "Past":
        """From an Arrow table of one user's rows of `interactions`, and what came after it."""
        rows = _with(_columns(interactions), events, config)
        heard = (rows["plays"] > 0) | (rows["counted"] > 0) | ~np.isnan(rows["rated"])
        disliked = rows["likes"] < 0
        timed = np.log1p(rows["mass"] * as_of_factor(as_of, config.weights) / config.weights.saturation)
        liked = np.nan_to_num(rows["rated"]) + np.maximum(rows["likes"], 0)
        weight = np.where(
            rows["blocked"] | disliked, 0.0, timed + np.log1p(rows["counted"].astype(np.float64)) + liked
        )
        today = day_number(as_of.date())
        recently = (rows["last_day"] == NEVER) | (today - rows["last_day"] < config.rules.heard_days)
        refused = {"mark": False, "only": False, "exclude": True, "not_within": recently}[config.pools.heard]
        return Past(
            recording=rows["recording"],
            plays=np.minimum(rows["plays"] + rows["counted"], SHORT_MAX),
            first_day=rows["first_day"],
            last_day=rows["last_day"],
            weight=weight.astype(np.float32),
            heard=heard,
            blocked=rows["blocked"] | (disliked & config.rules.block_disliked),
            refused=heard & refused,
        )


def _columns(interactions: Any) -> dict[str, Any]:
    rows = interactions.sort_by("recording_idx")
    made = {"recording": rows["recording_idx"].to_numpy().astype(np.int64)}
    for name, (kind, blank) in BLANK.items():
        column = rows[name]
        days = name in {"first_day", "last_day"}
        numbers = (
            column.cast("int32") if days else column.cast("double") if name == "rated" else column
        ).fill_null(blank)
        made[name] = (
            numbers.to_numpy(zero_copy_only=False).astype(kind) if len(numbers) else np.empty(0, kind)
        )
    return made


def _with(rows: dict[str, Any], events: Sequence[Event], config: Config) -> dict[str, Any]:
    """The rows with the events in them: a play more each, weighed by its day."""
    new = sorted({event.recording for event in events} - set(rows["recording"].tolist()))
    if new:
        place = np.searchsorted(rows["recording"], new)
        blank = {name: np.insert(rows[name], place, value) for name, (_, value) in BLANK.items()}
        rows = {"recording": np.insert(rows["recording"], place, new)} | blank
    for event in events:
        at, day = int(np.searchsorted(rows["recording"], event.recording)), day_number(event.day)
        rows["plays"][at] += 1
        rows["mass"][at] += event.completed * 2.0 ** (
            (event.day - config.weights.landmark).days / config.weights.half_life_days
        )
        rows["last_day"][at] = max(rows["last_day"][at], day)
        rows["first_day"][at] = day if rows["first_day"][at] == NEVER else min(rows["first_day"][at], day)
    return rows
