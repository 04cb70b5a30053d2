"""Names of the catalogue in a prompt: found before phrases are read, so that none is read into, and told apart from common words."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from trackpools.fill.contract.normalise import MAX_NAME_WORDS, Words, plain
from trackpools.fill.parser.negation import EXCEPTIONS
from trackpools.fill.parser.stopwords import (
    AGAINST,
    ALONE,
    AND,
    COMMON,
    DEGREES,
    FILLER,
    LAST,
    LIST,
    NOT,
    NOUNS,
    ONLY,
    PARTLY,
    WISHES,
)

MOST_NAMES = 50
HELD = "zqname"  # and a number: letters that no phrase reads, and that `plain` leaves
TAIL = re.compile(r"[,.;:!?()]+$")
OWNED = re.compile(r"([\w&/.-]+)'s(?= )")
Ended = Literal["", "wanted", "refused"]  # with a name, or not


@dataclass(frozen=True)
class Left:
    """Words in a row that nothing was read of, fillers left out; `denied` where one such as no or hate stands in their clause, before them or among them."""

    words: str
    denied: bool = False


@dataclass(frozen=True)
class EntityTable:
    """Names of the catalogue, and those that stand in this prompt as HELD and a number."""

    words: Words
    held: list[str]

    def name(self, token: str) -> str:
        """What a token or several stand for."""
        number = token.removeprefix(HELD)
        return (
            self.held[int(number)]
            if token.startswith(HELD) and number.isdigit() and int(number) < len(self.held)
            else token
        )


def names_one(word: str, words: Words) -> bool:
    """Whether a word is a name or stands for one that is held back."""
    return word.startswith(HELD) or words.kind(plain(word)) is not None


def held_back(text: str, words: Words) -> tuple[str, list[str]]:
    """The text with the catalogue's names of several words held back, so that no phrase reads into them: "The Sleeping Kingdoms" is nobody's sleep."""
    spoken, made, held, at = (
        OWNED.sub(lambda found: _owned(found[1], words), text).split(),
        list[str](),
        list[str](),
        0,
    )
    while at < len(spoken):
        size = next(
            (
                size
                for size in range(min(MAX_NAME_WORDS, len(spoken) - at), 1, -1)
                if _is_name(spoken[at : at + size], words)
            ),
            0,
        )
        if size:
            tail = TAIL.search(spoken[at + size - 1])
            made.append(f"{HELD}{len(held)}{tail[0] if tail else ''}")
            held.append(_name(spoken[at : at + size], words))
        else:
            made.append(spoken[at])
        at += size or 1
    return f" {' '.join(made)} ", held


def _owned(name: str, words: Words) -> str:
    """Whose songs they are, as an artist's name: "radiohead's songs"; another word stays as it is."""
    return f"by {name}" if words.kind(plain(name)) == "artists" else f"{name}'s"


def _is_name(spoken: list[str], words: Words) -> bool:
    """Whether words are a name, none of them but the last before a comma or another end."""
    return not any(TAIL.search(word) for word in spoken[:-1]) and words.kind(_name(spoken, words)) is not None


def _name(spoken: list[str], words: Words) -> str:
    """A name as the catalogue has it, also where something is its own."""
    name = plain(" ".join(spoken))
    return name if words.kind(name) else plain(" ".join(spoken).removesuffix("'s"))


@dataclass
class _Reader:
    """A clause read word by word.

    Attributes:
        narrowed: something else of the clause is denied that no rule could tell: what is refused is only part of it.
        refused: a denial is in force, and the next name is what it refuses.
        doubt: a denial stands there, and whether it is of the next name nobody can tell: the name is no wish and no refusal.
        listed: a phrase was read since; only a list goes on.
        denied: a denial stands somewhere before.
        named: the last word is a name that was read; `chain` an "and" behind one.
        akin: artists are named as what others should be like.
        mixed: an artist and a tag stand side by side: "jazz and Air" is some of each.
    """

    own: dict[str, Any]
    narrowed: bool = False
    refused: bool = False
    doubt: bool = False
    listed: bool = False
    denied: bool = False
    named: bool = False
    chain: bool = False
    degree: bool = False
    akin: bool = False
    mixed: bool = False
    before: str = ""
    last: tuple[str, str] = ("", "")
    unread: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def is_told(self, name: str, after: str, *, bare: bool) -> bool:
        """Whether an artist's name of one word is one here: many are common words."""
        if self.before in ONLY or self.chain or self.refused or self.doubt or self.akin:
            return True
        return name not in COMMON and (bare or after in NOUNS)

    def name(self, kind: str, name: str) -> None:
        """A name; "in the style of" one asks for others."""
        chained, self.chain = self.chain, False
        if (
            self.doubt
            or (self.akin and kind == "artists")
            or (self.refused and (self.narrowed or (self.listed and self.before not in LIST)))
        ):
            self.doubt, self.named = self.doubt or self.refused, False
            self.unread.append(name)
            return
        where = f"no_{kind}" if self.refused else kind
        self.mixed |= chained and {where, self.last[0]} == {"artists", "tags"}
        self.own[where] = tuple(dict.fromkeys((*self.own.get(where, ()), name)))[:MOST_NAMES]
        self.before, self.listed, self.named, self.last = "", False, True, (where, name)

    def word(self, word: str) -> None:
        """Another word."""
        if word in AGAINST:
            self._deny(word)
        elif word in DEGREES and self.before == "not":
            self.degree = True
        elif word in PARTLY and self.before == "not":
            self.refused, self.doubt = False, True
        elif word in WISHES and self.refused and self.named:
            self.refused = False
        elif word not in FILLER and word != "akin":
            self._leave(word)
        else:
            self.end()
            if self.refused and self.listed and word not in LIST:
                self.refused, self.doubt = False, True
        self.akin = word == "akin" or (word == "like" and self.named) or (self.akin and word in LIST)
        self.before, self.chain, self.named = word, word in AND and (self.named or self.akin), False

    def _leave(self, word: str) -> None:
        if self.refused and self.named:  # "no jazz vocals" refuses no jazz
            where, name = self.last
            self.own[where] = tuple(one for one in self.own[where] if one != name)
            self.unread.append(name)
        self.unread.append(word)
        if self.degree:  # spent on this word
            self.refused = self.degree = False
        elif self.refused:
            self.refused, self.doubt = False, True

    def _deny(self, word: str) -> None:
        """One denial refuses; two before one thing, or one of another kind, mean what nobody can tell."""
        again = (self.refused and not (self.named or self.before in AND)) or (
            self.refused and word in EXCEPTIONS
        )
        if word not in NOT or self.doubt or again:
            self.refused, self.doubt = False, True
        else:
            self.refused, self.listed = True, False
        self.end()
        self.denied = True

    def end(self) -> None:
        """The end of words in a row."""
        if self.unread:
            self.left.append(Left(" ".join(self.unread), self.denied))
            self.unread = []


def read_names(
    text: str, own: dict[str, Any], known: EntityTable, *, after: Ended = "", narrowed: bool = False
) -> tuple[list[Left], Ended, bool]:
    """Read names of the catalogue into a filter.

    A name of several words counts anywhere, a tag too; an artist of one word only after a word such as by, from or without, before
    songs or music, or where a clause holds nothing else.

    Args:
        after: how the clause before ended: a bare list goes on with it.
        narrowed: see _Reader.

    Returns:
        What is left that is no filler, by runs of words; how the clause ends; and whether artists and tags are an either-or.
    """
    reader, spoken = _Reader(own, narrowed), _tokens(text)
    bare = "¦" not in text and _is_bare(spoken, known, LIST)
    if after and bare:
        reader.chain, reader.denied = True, after == "refused"
        reader.refused, reader.doubt = (
            after == "refused" and said for said in (not LAST.isdisjoint(spoken), LAST.isdisjoint(spoken))
        )
    for place, run in enumerate(text.split("¦")):
        if place:
            reader.listed, reader.before, reader.named, reader.chain = reader.refused, "", False, False
        tokens, at = _tokens(run), 0
        leads = place == 0 and _is_bare(tokens, known, ALONE)  # "Radiohead from the 90s"
        while at < len(tokens):
            size, kind, name = _longest(tokens, at, known)
            next_ = tokens[at + size] if at + size < len(tokens) else ""
            if kind == "artists" and " " not in name and not reader.is_told(name, next_, bare=bare or leads):
                kind = None
            if kind:
                reader.name(kind, name)
            else:
                reader.word(tokens[at])
            at += size if kind else 1
        reader.end()
    for name in [name for name, told in own.items() if told == ()]:
        del own[name]
    return reader.left, "" if not reader.named else "refused" if reader.refused else "wanted", reader.mixed


def _tokens(text: str) -> list[str]:
    return plain(text.replace("¦", " ")).split()


def _is_bare(tokens: list[str], known: EntityTable, between: frozenset[str]) -> bool:
    """Whether words are nothing but names, and words between them."""
    at = 0
    while at < len(tokens):
        size, kind, _ = _longest(tokens, at, known)
        if kind is None and tokens[at] not in between:
            return False
        at += size
    return bool(tokens)


def _longest(tokens: list[str], at: int, known: EntityTable) -> tuple[int, str | None, str]:
    """How many words from a place are a name, of what, and the name; (1, None, …) where none is."""
    for size in range(min(MAX_NAME_WORDS, len(tokens) - at), 0, -1):
        name = " ".join(known.name(token) for token in tokens[at : at + size])
        if kind := known.words.kind(name):
            return size, kind, name
    return 1, None, tokens[at]
