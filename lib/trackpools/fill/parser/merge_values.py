"""What is said of one thing twice in a prompt, as one."""

from typing import Any

from trackpools.fill.contract.constraints import MAX_BANDS, Band
from trackpools.fill.parser.entities import MOST_NAMES

LEAST = frozenset(("artist_cap", "album_cap"))  # of two the less


def said_twice(name: str, old: Any, new: Any) -> Any:
    """What is said twice of a field: all of names, the common part of bands, the stricter number; None where no track or playlist can be both."""
    if name == "years" and any(_is_open(band) for band in (*old, *new)):  # "after 2000 but before 2010"
        return (
            tuple(
                band
                for one in old
                for other in new
                if (band := _common(one, other, touching=True)) is not None
            )[:MAX_BANDS]
            or None
        )
    if isinstance(old, tuple):
        return (*old, *(one for one in new if one not in old))[
            : MAX_BANDS if isinstance(old[0], Band) else MOST_NAMES
        ]
    if isinstance(old, Band):
        return old if old == new else _common(old, new)
    if name == "seconds":
        return None  # "half an hour of jazz and half an hour of rock" is an hour, and parts by length there are none
    if type(old) is int:
        return min(old, new) if name in LEAST else max(old, new)
    return old if old == new else None


def _common(one: Band, other: Band, *, touching: bool = False) -> Band | None:
    """What lies in both; None where nothing does, or, unless `touching`, but a point."""
    lows, highs = (
        [x for x in (one.low, other.low) if x is not None],
        [x for x in (one.high, other.high) if x is not None],
    )
    low, high = max(lows, default=None), min(highs, default=None)
    return (
        None
        if low is not None and high is not None and (low > high or (low == high and not touching))
        else Band(low=low, high=high)
    )


def _is_open(band: Band) -> bool:
    return band.low is None or band.high is None
