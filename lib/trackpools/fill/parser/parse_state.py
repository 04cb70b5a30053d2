"""What is read so far of a prompt, and phrases read out of its text."""

import re
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.contract.normalise import Words, plain
from trackpools.fill.parser.entities import Ended, Left, names_one
from trackpools.fill.parser.merge_values import said_twice
from trackpools.fill.parser.negation import ANY, NARROWED, NARROWS, denial, turned
from trackpools.fill.parser.shares import TIMED
from trackpools.fill.parser.templates import CUT, Phrase

NEW = re.compile(
    r"new (?:songs?|tracks?|tunes?|music|stuff|things?|ones?)$"
)  # denied, it may mean what is old or what is known


@dataclass
class Draft:
    """What is read so far; `year` is this one, `ended` how the last clause did, `narrowed` whether part of this one is denied that is not applied.

    `mixed` is whether its artists and tags are an either-or.
    """

    words: Words
    year: int
    whole: dict[str, Any] = field(default_factory=dict)
    every: dict[str, Any] = field(default_factory=dict)
    prefer: dict[str, Any] = field(default_factory=dict)
    parts: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    closed: bool = False
    left: list[Left] = field(default_factory=list)
    ended: Ended = ""
    narrowed: bool = False
    mixed: bool = False

    def is_narrowed(self, rest: str) -> bool:
        """Whether what follows a denied phrase is part of it: "no 80s pop", "no hits from the 80s"."""
        if NARROWED.match(rest):
            return True
        word = rest.split(" ", 2)[1] if rest.startswith(" ") and rest.strip() else ""
        return names_one(word, self.words)

    def leave(self, said: str, *, denied: bool = False) -> None:
        """Tell words back: they are not applied."""
        self.left.append(Left(plain(said.replace(TIMED, "minutes")), denied))

    def add(self, into: dict[str, Any], told: dict[str, Any], said: str) -> None:
        """Add what a phrase tells; what cannot hold beside what was told before is not applied."""
        for name, value in told.items():
            if name not in into:
                into[name] = value
            elif (made := said_twice(name, into[name], value)) is not None:
                into[name] = made
            else:
                self.leave(said)


def cut(
    text: str, phrases: tuple[Phrase, ...], into: dict[str, Any], draft: Draft, *, turns: bool = True
) -> str:
    """Read every phrase as often as it stands there; returns the rest. What is a tag of the catalogue is left to be read as one.

    Args:
        turns: whether what is denied may be turned round.
    """
    for phrase in phrases:
        while (found := phrase.find(text)) and plain(found[0]) not in draft.words.tags:
            before, rest, kept = (
                text[: found.start()],
                text[found.end() :],
                found.groupdict().get("kept") or "",
            )
            denied, told = denial(before), phrase.means(found)
            scope = "" if denied.scope == "far" and ANY.match(found[0]) else denied.scope  # it brings its own
            if scope == "near":
                before, told = (
                    denied.before,
                    turned(told or {}, denied.said) if turns and not NEW.match(found[0]) else None,
                )
            in_part = bool(denied.narrows or NARROWS.match(found[0])) and draft.is_narrowed(rest)
            narrowed = in_part and told != {"clean": True}  # which is held of all, whatever it was said of
            if scope == "far" or told is None or narrowed:
                draft.leave(found[0], denied=scope != "")
                draft.narrowed |= scope == "far"
            else:
                draft.add(into, told, found[0])
            text = f"{before}{kept}{CUT}{'doubtful' if in_part else ''}{rest}"
    return text
