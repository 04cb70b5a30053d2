"""Titles in quotes: they must be in the playlist, or, denied, must not."""

import re
from dataclasses import dataclass

from trackpools.fill.contract.normalise import Words, plain
from trackpools.fill.parser.entities import MOST_NAMES
from trackpools.fill.parser.negation import denial
from trackpools.fill.parser.templates import CUT

QUOTED = re.compile(r'"([^"]{1,200})"')
TITLE = re.compile(r"zqtitle(\d+)")
LIKE = re.compile(r" (?:akin|like|as|to) $")  # "songs like" a title are others
MUST_NOT = re.compile(r" (?:must|should|may|can)(?:n't| not) ")
BEFORE_TITLE = re.compile(
    r"(?:includ(?:e|ing)|(?:start|begin)(?:n?ing)? with|with|must (?:have|include|contain)|has to have|featuring|add|play)"
    r"(?: the)?(?: (?:song|track|title)s?)? +(?=¦)"
)


@dataclass(frozen=True)
class Titles:
    """Titles of a prompt; of the doubtful nobody can tell whether they are wanted."""

    wanted: tuple[str, ...]
    refused: tuple[str, ...]
    doubtful: tuple[str, ...]


def held_titles(text: str, words: Words) -> tuple[str, list[str]]:
    """The text with what is quoted held back, so that nothing is read into it; the catalogue's names stay as names."""
    titles: list[str] = []

    def one(found: re.Match[str]) -> str:
        title = found[1].strip()
        if not title or words.kind(plain(title)):
            return f" {title} "
        titles.append(title)
        return f"zqtitle{len(titles) - 1}"

    return QUOTED.sub(one, text), titles


def read_titles(text: str, held: list[str]) -> tuple[str, Titles]:
    """The text without its titles, and what it says of them."""
    told: dict[str, list[str]] = {"wanted": [], "refused": [], "doubtful": []}

    def one(found: re.Match[str]) -> str:
        if int(found[1]) >= len(held):
            return found[0]
        before = TITLE.sub(CUT, text[: found.start()])
        scope = "near" if MUST_NOT.match(text[found.end() :]) else denial(before).scope
        told[
            "doubtful" if scope == "far" or LIKE.search(before) else "refused" if scope else "wanted"
        ].append(held[int(found[1])])
        return CUT

    bare = BEFORE_TITLE.sub("", TITLE.sub(one, text))
    return bare, Titles(*(tuple(told[name][:MOST_NAMES]) for name in ("wanted", "refused", "doubtful")))
