"""What a model found in a prompt, one finding at a time: what code takes of it, where it puts it, and what it refuses.

Sorting or holding: names that are wanted, moods and guesses of numbers sort (`prefer`), for a wrong one must cost no track. What the listener's words
count out or refuse (a number is in them; "no", "hate" stand before them) holds for every track, as if a rule had read it; so does *clean*, because an explicit
word cannot be unheard.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.amounts import WORDS as NUMERALS
from trackpools.fill.constraints import (
    MOST_DAYS,
    MOST_LETTERS,
    MOST_SECONDS,
    MOST_TRACKS,
    Band,
    Constraints,
    Filter,
)
from trackpools.fill.grammar import LANGUAGES
from trackpools.fill.names import MOST_NAMES, Left
from trackpools.fill.quoting import quoted
from trackpools.fill.spoken import spoken
from trackpools.fill.vocabulary import FILLER, NOT
from trackpools.fill.words import Words, plain

NAMES = ("tags", "no_tags", "artists", "no_artists", "languages", "no_languages")
REFUSED = ("no_tags", "no_artists", "no_languages")
AMOUNTS = {"tracks": MOST_TRACKS, "minutes": MOST_SECONDS // 60, "quiet_days": MOST_DAYS}
BANDS = {  # least, most, and how much around it a single number stands for
    "years": (1500.0, 2100.0, 0.0),
    "tempo": (20.0, 400.0, 5.0),
    "energy": (0.0, 1.0, 0.1),
    "popularity": (0.0, 1.0, 0.1),
}
FLAGS = {"clean": ("clean", True), "heard": ("heard", True), "not_heard": ("heard", False)}
ARCS = ("rising", "falling", "peak")
FIELDS = (*NAMES, *AMOUNTS, *BANDS, *FLAGS, "arc")
LENGTH = frozenset(("tracks", "seconds"))  # one thing: how long a playlist is
COUNTED = frozenset(word for word in NUMERALS if " " not in word) - {"a", "an"} | {
    "dozen",
    "hundred",
    "couple",
    "half",
}
IMPOSSIBLE = "no such playlist"


class Wrong(Exception):  # noqa: N818 - a finding that does not count, no error of ours
    """Why it does not, in a few words of ours."""


def meant(one: Mapping[str, Any], words: Words) -> tuple[str, Any]:
    """The field of Constraints or Filter that a finding tells of, and its value.

    Raises:
        Wrong: where it is not one of FIELDS, of no name of the catalogue, or out of range.
    """
    what, name = one.get("field"), one.get("name")
    if what not in FIELDS:
        raise Wrong("no such field")
    if what in NAMES:
        return what, (_name(what.removeprefix("no_"), name, words),)
    if what in FLAGS:
        return FLAGS[what]
    if what == "arc":
        if name not in ARCS:
            raise Wrong("no such name")
        return what, name
    if what in BANDS:
        band = _band(one, *BANDS[what])
        return what, (band,) if what == "years" else band
    number = _number(one.get("low") if one.get("low") is not None else one.get("high"), 1, AMOUNTS[what])
    if number is None or number != int(number):
        raise Wrong("no number")
    return ("seconds", 60 * int(number)) if what == "minutes" else (what, int(number))


def _name(kind: str, name: Any, words: Words) -> str:
    known = getattr(words, kind)
    made = plain(name[: 2 * MOST_LETTERS]) if isinstance(name, str) else ""
    if kind == "languages" and made not in known:
        made = LANGUAGES.get(made, "")
    if not made or made not in known or len(made) > MOST_LETTERS:
        raise Wrong("no such name")
    return made


def _number(value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    if type(value) not in {int, float}:  # true is no number
        raise Wrong("no number")
    if not low <= value <= high:
        raise Wrong("out of range")
    return float(value)


def _band(one: Mapping[str, Any], least: float, most: float, around: float) -> Band:
    low, high = (_number(one.get(end), least, most) for end in ("low", "high"))
    if low is None and high is None:
        raise Wrong("no number")
    if low is not None and high is not None:
        if low > high:
            raise Wrong("out of range")
        if low == high:
            low, high = round(low - around, 6), round(high + around, 6)
    return Band(low=low, high=high)


@dataclass
class Draft:
    """What counts so far.

    Attributes:
        known: what was understood before; it wins.
        left: the words that findings may be read from.
        holds: whether findings may hold for every track; else they only sort.
    """

    known: Constraints
    words: Words
    left: tuple[Left, ...]
    holds: bool = True
    whole: dict[str, Any] = field(default_factory=dict)
    every: dict[str, Any] = field(default_factory=dict)
    prefer: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    _read: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._spoken = [
            (word, one.denied, run) for run, one in enumerate(self.left) for word in one.words.split()
        ]

    def take(self, one: Any) -> None:
        """Add a finding, or count it as dropped."""
        try:
            if not isinstance(one, dict):
                raise Wrong("no finding")
            needle, places = self._places(one.get("words"))
            name, value = meant(one, self.words)
            where = self._where(name, value, needle, {self._spoken[place][1] for place in places})
            into = {"whole": self.whole, "every": self.every, "prefer": self.prefer}[where]
            if self._is_told(where, name, value, into):
                raise Wrong("told already")
            if where != "prefer" and not self.holds:
                raise Wrong(IMPOSSIBLE)
        except Wrong as wrong:
            self.dropped[str(wrong)] += 1
            return
        into[name] = (*into.get(name, ()), *value) if name in NAMES else value
        self.notes.append(f"read by the model: {quoted(' '.join(needle))} as {_said(where, name, value)}")
        self._read |= places

    def rest(self) -> Iterator[str]:
        """Words that nothing was read from, by runs."""
        run: list[str] = []
        last = -1
        for place, (word, _, of) in enumerate(self._spoken):
            if run and (place in self._read or of != last):
                yield " ".join(run)
                run = []
            if place not in self._read:
                run.append(word)
            last = of
        if run:
            yield " ".join(run)

    def _places(self, words: Any) -> tuple[list[str], set[int]]:
        """The words as they are left, and everywhere they stand."""
        if not isinstance(words, str):
            raise Wrong("words not left over")
        spoken = [word for word, _, _ in self._spoken]
        needle = [one for one in plain(words[:1000]).split() if one in spoken or one not in FILLER | NOT]
        starts = (
            [at for at in range(len(spoken) - len(needle) + 1) if spoken[at : at + len(needle)] == needle]
            if needle
            else []
        )
        if not starts:
            raise Wrong("words not left over")
        return needle, {at + step for at in starts for step in range(len(needle))}

    def _where(self, name: str, value: Any, needle: list[str], denied: set[bool]) -> str:
        """Whether it is of the whole, must hold or sorts; where words are refused, what they tell of can only be refused, and the other way round."""
        wants = name in {"tags", "artists", "languages", "arc"} or (name == "heard" and value)
        if len(denied) > 1 or (wants and True in denied) or (name in REFUSED and False in denied):
            raise Wrong("wanted or not")
        counted = any(word in COUNTED or any(map(str.isdigit, word)) for word in needle)
        if name in LENGTH | {"quiet_days"} and not counted:
            raise Wrong("no number in the words")
        if name in LENGTH | {"arc"}:
            return "whole"
        explicit = name in {"years", "tempo"} and counted
        return (
            "every"
            if name in REFUSED
            or name in {"clean", "quiet_days"}
            or explicit
            or (name == "heard" and True in denied)
            else "prefer"
        )

    def _is_told(self, where: str, name: str, value: Any, into: Mapping[str, Any]) -> bool:
        """Whether something is known of it already, or is against it."""
        if where == "whole":
            return any(
                one in self.known.model_fields_set or one in self.whole
                for one in (LENGTH if name in LENGTH else {name})
            )
        filters = (self.known.every, *(part.of for part in self.known.parts), self.known.prefer)
        if name in NAMES:
            other = name.removeprefix("no_") if name in REFUSED else f"no_{name}"
            against = {plain(one) for each in filters for one in getattr(each, other)}
            same = (*getattr(self.known.every, name), *into.get(name, ()))
            return value[0] in against or value[0] in same or len(same) >= MOST_NAMES
        over = filters[:-1] if where == "every" else filters  # what only sorts is not against what must hold
        return name in self.every or name in self.prefer or any(name in each.asked for each in over)


def _said(where: str, name: str, value: Any) -> str:
    if where == "whole":
        return {"tracks": f"{value} tracks", "arc": f"energy {value}"}.get(name) or f"{value // 60} minutes"
    told = spoken(Filter(**{name: value}))
    return told if where == "every" else f"preferred: {told}"
