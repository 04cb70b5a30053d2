"""Names of the catalogue in a prompt: found before phrases are read, so that none is read into, and told apart from common words."""

import re
from dataclasses import dataclass
from typing import Any

from trackpools.fill.denial import ADVERBS, REFUSALS
from trackpools.fill.words import MOST_WORDS, Words, plain

MOST_NAMES = 50
HELD = "zqname"  # and a number: letters that no phrase reads, and that `plain` leaves
TAIL = re.compile(r"[,.;:!?()]+$")
NOT = frozenset(map(plain, (*REFUSALS, "not")))
AGAINST = NOT | frozenset(map(plain, (*ADVERBS, "didn't", "can't", "hardly", "instead", "anti")))
ONLY = frozenset((
    "by", "from", "of", "only", "feat", "featuring", "artist", "artists", "band", "bands", "with", "and", "or",
))
FILLER = frozenset(map(plain, (
    "a", "an", "the", "of", "to", "for", "from", "in", "on", "at", "with", "and", "or", "by", "my", "me", "i", "i'm", "i'd", "i've", "we", "us", "our",
    "you", "your", "it", "it's", "its", "is", "are", "was", "be", "some", "any", "more", "most", "very", "really", "just", "please", "only", "all",
    "that", "which", "this", "these", "those", "them", "they", "their", "so", "up", "out", "now", "then", "also", "too", "want", "need", "like", "would",
    "could", "can", "give", "make", "create", "build", "play", "put", "get", "find", "fill", "show", "let's", "let", "playlist", "playlists", "mix",
    "list", "set", "music", "song", "songs", "track", "tracks", "tune", "tunes", "stuff", "things", "thing", "something", "ones", "one", "good", "great",
    "nice", "best", "end", "beginning", "kind", "sort", "type", "style", "vibe", "vibes", "feel", "feeling", "full", "lots", "lot", "plenty", "bit",
    "little", "few", "much", "many", "artist", "artists", "band", "bands", "singer", "singers", "genre", "lasting", "long", "last", "about", "around",
    "what", "whatever", "when", "while", "where", "as", "into", "i'll", "going", "listen", "listening", "hear", "have", "has", "had", "been", "between",
    "each", "other", "than", "there", "here", "day", "today", "tonight", "include",
)))


@dataclass(frozen=True)
class Left:
    """Words in a row that nothing was read of, fillers left out; `denied` where one such as no or hate stands in their clause, before them or among them."""

    words: str
    denied: bool = False


@dataclass(frozen=True)
class Known:
    """Names of the catalogue, and those that stand in this prompt as HELD and a number."""

    words: Words
    held: list[str]

    def name(self, token: str) -> str:
        """What a token or several stand for."""
        number = token.removeprefix(HELD)
        return self.held[int(number)] if token.startswith(HELD) and number.isdigit() and int(number) < len(self.held) else token


def held_back(text: str, words: Words) -> tuple[str, list[str]]:
    """The text with the catalogue's names of several words held back, so that no phrase reads into them: "The Sleeping Kingdoms" is nobody's sleep."""
    spoken, made, held, at = text.split(), list[str](), list[str](), 0
    while at < len(spoken):
        size = next((size for size in range(min(MOST_WORDS, len(spoken) - at), 1, -1) if _is_name(spoken[at:at + size], words)), 0)
        if size:
            tail = TAIL.search(spoken[at + size - 1])
            made.append(f"{HELD}{len(held)}{tail[0] if tail else ''}")
            held.append(plain(" ".join(spoken[at:at + size])))
        else:
            made.append(spoken[at])
        at += size or 1
    return f" {' '.join(made)} ", held


def _is_name(spoken: list[str], words: Words) -> bool:
    """Whether words are a name, none of them but the last before a comma or another end."""
    return not any(TAIL.search(word) for word in spoken[:-1]) and words.kind(plain(" ".join(spoken))) is not None


def read_names(text: str, own: dict[str, Any], known: Known) -> list[Left]:
    """Read names of the catalogue into a filter; returns what is left that is no filler, by runs of words.

    A name of several words counts anywhere, a tag too; an artist of one word only after a word such as by, from or without, for
    many are common words.
    """
    left: list[Left] = []
    denied = refused = False
    for run in text.split("¦"):
        tokens, at, before, unread = [plain(word) for word in run.split() if plain(word)], 0, "", list[str]()
        tokens = [part for token in tokens for part in token.split()]
        while at < len(tokens):
            size, kind, name = _longest(tokens, at, known)
            if kind == "artists" and " " not in name and before not in ONLY and not refused:
                kind = None
            if kind:
                where = f"no_{kind}" if refused else kind
                own[where] = tuple(dict.fromkeys((*own.get(where, ()), name)))[:MOST_NAMES]
                at, before = at + size, "and"
                continue
            before = tokens[at]
            refused = before in NOT or (refused and before in FILLER)
            if before not in FILLER and before not in NOT:
                unread.append(before)
            elif unread:
                left, unread = [*left, Left(" ".join(unread), denied)], []
            denied |= before in AGAINST
            at += 1
        left += [Left(" ".join(unread), denied)] if unread else []
    return left


def _longest(tokens: list[str], at: int, known: Known) -> tuple[int, str | None, str]:
    """How many words from a place are a name, of what, and the name; (1, None, …) where none is."""
    for size in range(min(MOST_WORDS, len(tokens) - at), 0, -1):
        name = " ".join(known.name(token) for token in tokens[at:at + size])
        if kind := known.words.kind(name):
            return size, kind, name
    return 1, None, tokens[at]
