"""Bring the words of prompts and catalogues into a common form, so that they can be compared."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MAX_NAME_WORDS = 8  # names with more words are not looked for in a prompt
DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
FRACTIONS = {ord("½"): " 1/2", ord("¼"): " 1/4", ord("¾"): " 3/4"}
QUOTES = dict.fromkeys(map(ord, "“”„«»‟"), '"') | dict.fromkeys(map(ord, "‘’‚`´"), "'")


def tidy(text: str) -> str:
    """Return the text in lower case, with one kind of dashes, of quotes and of spaces; accents are kept."""
    folded = unicodedata.normalize("NFKC", text.translate(FRACTIONS)).casefold().translate(DASHES | QUOTES)
    return " ".join("".join(one if one.isprintable() else " " for one in folded).split())


def plain(text: str) -> str:
    """Return the text in the form in which names are compared.

    Letters and digits of any script stay, in lower case and without accents. `&` becomes `and`, apostrophes
    are removed, and everything else becomes a space.
    """
    letters = unicodedata.normalize("NFKD", tidy(text).replace("&", " and "))
    kept = "".join(one for one in letters if not unicodedata.combining(one)).replace("'", "")
    return " ".join(re.findall(r"[^\W_]+", kept))


@dataclass(frozen=True)
class Words:
    """The names of a catalogue in the form of `plain`; a name of both an artist and a tag counts as a tag."""

    artists: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()

    @staticmethod
    def of(artists: Iterable[str | None], tags: Iterable[str | None]) -> "Words":
        known = [frozenset(plain(name) for name in names if name) - {""} for names in (artists, tags)]
        return Words(known[0], known[1])

    def kind(self, name: str) -> str | None:
        """Return `tags` or `artists`, whichever the name is in; None if it is in neither."""
        return "tags" if name in self.tags else "artists" if name in self.artists else None
