"""Words of prompts and of catalogues, made comparable; and what a catalogue's names are."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MOST_WORDS = 8  # of a name that is looked for in a prompt
DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
FRACTIONS = {ord("½"): " 1/2", ord("¼"): " 1/4", ord("¾"): " 3/4"}
QUOTES = dict.fromkeys(map(ord, "“”„«»‟"), '"') | dict.fromkeys(map(ord, "‘’‚`´"), "'")


def tidy(text: str) -> str:
    """The text in lower case, with one kind of dash, quote and space; accents stay."""
    folded = unicodedata.normalize("NFKC", text.translate(FRACTIONS)).casefold().translate(DASHES | QUOTES)
    return " ".join("".join(one if one.isprintable() else " " for one in folded).split())


def plain(text: str) -> str:
    """The text for comparing names: letters and digits of any script in lower case, accents gone, all else a space; `&` is and."""
    letters = unicodedata.normalize("NFKD", tidy(text).replace("&", " and "))
    kept = "".join(one for one in letters if not unicodedata.combining(one)).replace("'", "")
    return " ".join(re.findall(r"[^\W_]+", kept))


@dataclass(frozen=True)
class Words:
    """The names that a catalogue knows, as `plain` writes them; a name that is both is a tag."""

    artists: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()

    @staticmethod
    def of(artists: Iterable[str | None], tags: Iterable[str | None]) -> "Words":
        known = [frozenset(plain(name) for name in names if name) - {""} for names in (artists, tags)]
        return Words(known[0], known[1])

    def kind(self, name: str) -> str | None:
        """`tags`, `artists` or None."""
        return "tags" if name in self.tags else "artists" if name in self.artists else None
