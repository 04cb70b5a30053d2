"""A prompt as constraints, by rules alone: offline, the same every time, and what was not understood is said."""

import re
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.constraints import Band, Constraints, Filter, Part
from trackpools.fill.grammar import Phrase
from trackpools.fill.phrases import LENGTHS, MOOD, TRACK, WHOLE
from trackpools.fill.phrases_track import CUTS, HITS
from trackpools.fill.words import MOST_WORDS, Words, plain, tidy

MOST_CHARACTERS = 2_000
MOST_NAMES = 50
CUT = " ¦ "  # stands where a phrase was read: nothing is read across it
QUOTED = re.compile(r'"([^"]{1,200})"')
BEFORE_TITLE = re.compile(
    r"(?:includ(?:e|ing)|(?:start|begin)(?:n?ing)? with|with|must (?:have|include|contain)|has to have|featuring|add|play)"
    r"(?: the)?(?: (?:song|track|title)s?)? +(?=¦)")
CLAUSE = re.compile(r"[,.;:!?()]+(?: |$)| but ")
ADDED = re.compile(r"(?: |^)(?:(?:and|with|plus) (?:some|a few|a bit of)|plus|mixed with|along with|together with|as well as)(?= )")
MIX = re.compile(r"(?:a )?(?:mix|mixture|blend|combination) (?:of|between)(?= )|both(?= )|half(?= )")
SHARES = (
    (re.compile(r"(?:^| )(?:mostly|mainly|primarily|predominantly|chiefly)(?= )"), 0.6),
    (re.compile(r"(?:^| )(?:the other half|half)(?: of (?:it|them))?(?= )"), 0.5),
    (re.compile(r"(?:^| )(?:a|one)[ -]third(?: of (?:it|them))?(?= )"), 1 / 3),
    (re.compile(r"(?:^| )(?:a|one)[ -]quarter(?: of (?:it|them))?(?= )"), 0.25),
    (re.compile(r"(?:^| )(?:at least )?(\d{1,3}) ?(?:%|percent)(?: of (?:it|them))?(?= )"), None),
)
NOT = frozenset((
    "no", "not", "without", "never", "except", "excluding", "exclude", "skip", "avoid", "minus", "nothing", "nor",
))
ONLY = frozenset((
    "by", "from", "of", "only", "feat", "featuring", "artist", "artists", "band", "bands", "with", "and", "or",
))
EVERY = ("no_artists", "no_tags", "no_languages", "no_versions", "no_years", "clean", "quiet_days")  # what is refused is refused everywhere
RANKS = {HITS: Band(high=5), CUTS: Band(low=6)}
FILLER = frozenset((
    "a", "an", "the", "of", "to", "for", "from", "in", "on", "at", "with", "and", "or", "by", "my", "me", "i", "i'm", "i'd", "i've", "we", "us", "our",
    "you", "your", "it", "it's", "its", "is", "are", "was", "be", "some", "any", "more", "most", "very", "really", "just", "please", "only", "all",
    "that", "which", "this", "these", "those", "them", "they", "their", "so", "up", "out", "now", "then", "also", "too", "want", "need", "like", "would",
    "could", "can", "give", "make", "create", "build", "play", "put", "get", "find", "fill", "show", "let's", "let", "playlist", "playlists", "mix",
    "list", "set", "music", "song", "songs", "track", "tracks", "tune", "tunes", "stuff", "things", "thing", "something", "ones", "one", "good", "great",
    "nice", "best", "end", "beginning", "kind", "sort", "type", "style", "vibe", "vibes", "feel", "feeling", "full", "lots", "lot", "plenty", "bit",
    "little", "few", "much", "many", "artist", "artists", "band", "bands", "singer", "singers", "genre", "lasting", "long", "last", "about", "around",
    "what", "whatever", "when", "while", "where", "as", "into", "i'll", "going", "listen", "listening", "hear", "have", "has", "had", "been", "between",
    "each", "other", "than", "there", "here", "day", "today", "tonight",
))


@dataclass(frozen=True)
class Read:
    """What a prompt asks for; words that no rule read; and where a rule could not do quite what was said."""

    constraints: Constraints
    not_applied: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Draft:
    """What is read so far."""

    whole: dict[str, Any] = field(default_factory=dict)
    every: dict[str, Any] = field(default_factory=dict)
    prefer: dict[str, Any] = field(default_factory=dict)
    parts: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    closed: bool = False
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(prompt: str, words: Words | None = None) -> Read:
    """The constraints that a prompt asks for; of the text at most `MOST_CHARACTERS` are read.

    Args:
        words: names of the catalogue; others are not known to be names.
    """
    words = words or Words()
    draft = _Draft()
    text = _quoted(f" {tidy(prompt[:MOST_CHARACTERS])} ", draft, words)
    text = _cut(text, LENGTHS, draft.every, words)
    text = _cut(text, WHOLE, draft.whole, words)
    for clause in _clauses(text):
        _clause(clause, draft, words)
    every, parts = Filter(**draft.every), tuple(Part(of=Filter(**of), share=share) for of, share in draft.parts if of)
    made = Constraints(**draft.whole, every=every, parts=parts[:5], closed=draft.closed and len(parts) > 1, prefer=Filter(**draft.prefer))
    if len(prompt) > MOST_CHARACTERS:
        draft.left.append(f"all after the first {MOST_CHARACTERS:,} characters")
    return Read(made, tuple(dict.fromkeys(draft.left)), tuple(dict.fromkeys(draft.notes)))


def _quoted(text: str, draft: _Draft, words: Words) -> str:
    """Take quoted names out: of the catalogue's they stay as names, others are titles that must be in."""
    def one(found: re.Match[str]) -> str:
        if words.kind(plain(found[1])):
            return f" {found[1]} "
        draft.whole["seeds"] = (*draft.whole.get("seeds", ()), found[1].strip())[:MOST_NAMES] if found[1].strip() else draft.whole.get("seeds", ())
        return CUT

    bare = QUOTED.sub(one, text)
    return BEFORE_TITLE.sub("", bare)


def _cut(text: str, phrases: tuple[Phrase, ...], into: dict[str, Any], words: Words) -> str:
    """Read every phrase as often as it stands there; returns the rest. What is a tag of the catalogue is left to be read as one."""
    for phrase in phrases:
        while (found := phrase.find(text)) and plain(found[0]) not in words.tags:
            for name, value in phrase.means(found).items():
                into[name] = _both(into[name], value) if name in into else value
            text = f"{text[:found.start()]}{CUT}{found.groupdict().get('kept') or ''}{text[found.end():]}"
    return text


def _both(old: Any, new: Any) -> Any:
    """What is said twice: all of names, the common part of bands, the stricter number."""
    if isinstance(old, tuple):
        return (*old, *(one for one in new if one not in old))
    if isinstance(old, Band):
        low, high = max((x for x in (old.low, new.low) if x is not None), default=None), min((x for x in (old.high, new.high) if x is not None), default=None)
        return new if low is not None and high is not None and low > high else Band(low=low, high=high)
    return max(old, new) if type(old) is int else new


def _clauses(text: str) -> list[str]:
    """What commas part; one that begins with an addition belongs to the one before it."""
    clauses: list[str] = []
    for clause in CLAUSE.split(text):
        starts = ADDED.match(clause.strip(" ¦")) or SHARES[1][0].match(clause.strip(" ¦"))
        if clauses and starts:
            clauses[-1] += f" {clause.strip(' ¦')} "
        elif clause.strip(" ¦"):
            clauses.append(f" {clause} ")
    return clauses


def _clause(text: str, draft: _Draft, words: Words) -> None:
    """Read a clause into the parts it tells of, or into what holds for all."""
    pieces, mixed = _pieces(text), MIX.search(text) is not None
    first = len(draft.parts)
    for piece, share in pieces:
        own: dict[str, Any] = {}
        mood: dict[str, Any] = {}
        rest = _cut(_cut(piece, TRACK, own, words), MOOD, mood, words)
        draft.left += _names(rest, own, words)
        _rank_within(own)
        draft.prefer.update(mood)
        for name in [name for name in own if share is None or name in EVERY]:
            value = own.pop(name)
            draft.every[name] = _both(draft.every[name], value) if name in draft.every else value
        if own:
            draft.parts.append((own, share or 1.0))
    draft.closed |= len(pieces) > 1
    if mixed and len(draft.parts) == first + 2:
        (one, _), (other, _) = draft.parts[first:]
        draft.parts[first:] = [(_shared(one, other), draft.parts[first][1]), draft.parts[first + 1]]


def _shared(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The first side of a mix with the artists and years that are told behind the last: "hits and deep cuts by X from the 80s"."""
    made = first | {name: last[name] for name in ("artists", "years") if name in last and name not in first}
    if made.get("popularity") in RANKS and "artists" in made:
        _rank_within(made)
    return made


def _rank_within(own: dict[str, Any]) -> None:
    """Hits and deep cuts of artists are told by the rank within the artist: of a star every track is a hit, of a newcomer none."""
    if (own.get("artists") or own.get("top")) and own.get("popularity") in RANKS:
        own["artist_rank"] = RANKS[own.pop("popularity")]


def _pieces(text: str) -> list[tuple[str, float | None]]:
    """The parts of a clause and their least shares of the tracks; None where it is no part but all."""
    if mix := MIX.search(text):
        sides = re.split(r" and (?:the other half |half )?| half ", text[mix.end():], maxsplit=1)
        if len(sides) == 2:
            return [(f" {text[:mix.start()]} {sides[0]} ", 0.4 + 0.1 * ("half" in mix[0])), (f" {sides[1]} ", 0.4 + 0.1 * ("half" in mix[0]))]
    added = ADDED.search(text)
    if added and text[:added.start()].strip(" ¦"):
        sides = [piece for piece in ADDED.split(text) if piece.strip(" ¦")]
        few = "some" in added[0] or "few" in added[0] or "bit" in added[0]
        return [(f" {side} ", (0.6 if place == 0 else 0.15) if few else round(0.8 / len(sides), 3)) for place, side in enumerate(sides)]
    for pattern, share in SHARES:
        if found := pattern.search(text):
            told = min(int(found[1]), 100) / 100 if share is None else share
            return [(text[:found.start()] + " " + text[found.end():], told)] if told > 0 else [(text, None)]
    return [(text, None)]


def _names(text: str, own: dict[str, Any], words: Words) -> list[str]:
    """Read names of the catalogue into a filter; returns what is left that is no filler, by runs of words.

    A name of several words counts anywhere, a tag too; an artist of one word only after a word such as by, from or without, for
    many are common words.
    """
    left: list[str] = []
    for run in text.split("¦"):
        tokens, at, refused, before, unread = [plain(word) for word in run.split() if plain(word)], 0, False, "", []
        tokens = [part for token in tokens for part in token.split()]
        while at < len(tokens):
            size, kind = _longest(tokens, at, words)
            if kind == "artists" and size == 1 and before not in ONLY and not refused:
                kind = None
            if kind:
                name = " ".join(tokens[at:at + size])
                where = f"no_{kind}" if refused else kind
                own[where] = tuple(dict.fromkeys((*own.get(where, ()), name)))[:MOST_NAMES]
                at, before = at + size, "and"
                continue
            before = tokens[at]
            refused = before in NOT or (refused and before in FILLER)
            if before not in FILLER and before not in NOT:
                unread.append(before)
            elif unread:
                left, unread = [*left, " ".join(unread)], []
            at += 1
        left += [" ".join(unread)] if unread else []
    return left


def _longest(tokens: list[str], at: int, words: Words) -> tuple[int, str | None]:
    """How many words from a place are a name, and of what; (1, None) where none is."""
    for size in range(min(MOST_WORDS, len(tokens) - at), 0, -1):
        if kind := words.kind(" ".join(tokens[at:at + size])):
            return size, kind
    return 1, None
