"""Check a language model's findings in a prompt, and sort the accepted ones by where they apply.

A finding says that some words of the prompt mean a constraint. It applies in one of three ways:

- `whole`: the number of tracks, the length and the arc apply to the whole playlist.
- `every`: the finding must hold for every track. This is so for what is refused ("no" or "hate" is written
  before the words), for `quiet_days`, for years and tempo if the words contain a number, and for `clean`,
  because an explicit word cannot be unheard.
- `prefer`: all other findings, such as wanted names, moods and guessed numbers, only sort tracks, because a
  wrong finding must cost no track.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.contract.constraints import (
    MAX_DAYS,
    MAX_NAME_CHARS,
    MAX_PLAYLIST_S,
    MAX_TRACKS,
    Band,
    Constraints,
    Filter,
)
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.contract.normalise import Words, plain
from trackpools.fill.contract.sanitise import quote_as_data
from trackpools.fill.parser.entities import MOST_NAMES, Left
from trackpools.fill.parser.quantities import WORDS as NUMERALS
from trackpools.fill.parser.stopwords import FILLER, NOT
from trackpools.fill.parser.templates import LANGUAGES

NAMES = ("tags", "no_tags", "artists", "no_artists", "languages", "no_languages")
REFUSED = ("no_tags", "no_artists", "no_languages")
AMOUNTS = {"tracks": MAX_TRACKS, "minutes": MAX_PLAYLIST_S // 60, "quiet_days": MAX_DAYS}
BANDS = {  # least value, greatest value, and by how much a single number is widened at each side
    "years": (1500.0, 2100.0, 0.0),
    "tempo": (20.0, 400.0, 5.0),
    "energy": (0.0, 1.0, 0.1),
    "popularity": (0.0, 1.0, 0.1),
}
FLAGS = {"clean": ("clean", True), "heard": ("heard", True), "not_heard": ("heard", False)}
ARCS = ("rising", "falling", "peak")
FIELDS = (*NAMES, *AMOUNTS, *BANDS, *FLAGS, "arc")
LENGTH = frozenset(("tracks", "seconds"))  # the two fields that say how long a playlist is
# words that count as a number
COUNTED = frozenset(word for word in NUMERALS if " " not in word) - {"a", "an"} | {
    "dozen",
    "hundred",
    "couple",
    "half",
}
IMPOSSIBLE = "no such playlist"


class Wrong(Exception):  # noqa: N818 - it drops one finding, and is no error of the fill
    """Raised for a finding that is dropped; the message is the reason, in fixed words of this module."""


def read_finding(one: Mapping[str, Any], words: Words) -> tuple[str, Any]:
    """Return the field of `Constraints` or `Filter` that a finding sets, and its value.

    Args:
        one: the finding: a JSON object with `field`, and `name` or `low` and `high`.
        words: names of the catalogue.

    Raises:
        Wrong: if the field is not one of FIELDS, the catalogue lacks the name, or the number is missing or
            out of range.
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
    made = plain(name[: 2 * MAX_NAME_CHARS]) if isinstance(name, str) else ""
    if kind == "languages" and made not in known:
        made = LANGUAGES.get(made, "")
    if not made or made not in known or len(made) > MAX_NAME_CHARS:
        raise Wrong("no such name")
    return made


def _number(value: Any, low: float, high: float) -> float | None:
    if value is None:
        return None
    if type(value) not in {int, float}:  # not isinstance, which would accept true as a number
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
class AssistDraft:
    """The findings accepted so far.

    Attributes:
        understood: the constraints that the rules read; a finding cannot change them.
        words: names of the catalogue.
        left: the words of the prompt that no rule read; findings may be about these words only.
        holds: whether findings of the kinds `whole` and `every` are accepted, or only preferences.
        whole: accepted fields of the whole playlist (length, arc) → values.
        every: accepted fields that must hold for every track → values.
        prefer: accepted fields that only sort tracks → values.
        notes: one sentence for each accepted finding.
        dropped: reason → number of dropped findings.
    """

    understood: Constraints
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

    def take(self, one: object) -> None:
        """Accept a finding, or count it as dropped under its reason."""
        try:
            if not isinstance(one, dict):
                raise Wrong("no finding")
            needle, places = self._places(one.get("words"))
            name, value = read_finding(one, self.words)
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
        self.notes.append(
            f"read by the model: {quote_as_data(' '.join(needle))} as {_said(where, name, value)}"
        )
        self._read |= places

    def rest(self) -> Iterator[str]:
        """Yield the words that belong to no accepted finding; neighbouring words are joined."""
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
        """Find the words of a finding among the words that are left.

        Fillers and negations that are not among them are ignored.

        Returns:
            The words in normal form, and the places of these words, at all their occurrences.

        Raises:
            Wrong: if they are not among the words that are left.
        """
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
        """Return where a finding applies: "whole", "every" or "prefer"; see the module.

        Args:
            name: the field that the finding sets.
            value: the value of the field.
            needle: the words of the finding.
            denied: {True} if these words are refused in the prompt, {False} if not; both values if some are
                refused and others are not.

        Raises:
            Wrong: if the finding reads refused words as a wish or wished words as a refusal, or a length or
                `quiet_days` from words without a number.
        """
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
        """Whether the rules or an earlier finding have set this field, or read the opposite of the value."""
        if where == "whole":
            return any(
                one in self.understood.model_fields_set or one in self.whole
                for one in (LENGTH if name in LENGTH else {name})
            )
        filters = (
            self.understood.every,
            *(part.of for part in self.understood.parts),
            self.understood.prefer,
        )
        if name in NAMES:
            other = name.removeprefix("no_") if name in REFUSED else f"no_{name}"
            against = {plain(one) for each in filters for one in getattr(each, other)}
            same = (*getattr(self.understood.every, name), *into.get(name, ()))
            return value[0] in against or value[0] in same or len(same) >= MOST_NAMES
        over = filters[:-1] if where == "every" else filters  # preferences do not block what must hold
        return name in self.every or name in self.prefer or any(name in each.set_fields for each in over)


def _said(where: str, name: str, value: Any) -> str:
    if where == "whole":
        return {"tracks": f"{value} tracks", "arc": f"energy {value}"}.get(name) or f"{value // 60} minutes"
    told = describe_filter(Filter(**{name: value}))
    return told if where == "every" else f"preferred: {told}"
