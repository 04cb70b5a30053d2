"""A prompt as constraints, by rules alone: offline, the same every time, and what was not understood is said."""

import re
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.constraints import MOST_BANDS, Band, Constraints, Filter, Part
from trackpools.fill.denial import denial, tidied, turned
from trackpools.fill.grammar import Phrase
from trackpools.fill.names import MOST_NAMES, Known, Left, held_back, read_names
from trackpools.fill.phrases import LENGTHS, MOOD, TRACK, WHOLE
from trackpools.fill.phrases_track import CUTS, HITS
from trackpools.fill.words import Words, plain, tidy

MOST_CHARACTERS = 2_000
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
EVERY = ("no_artists", "no_tags", "no_languages", "no_versions", "no_years", "clean", "quiet_days")  # what is refused is refused everywhere
RANKS = {HITS: Band(high=5), CUTS: Band(low=6)}


@dataclass(frozen=True)
class Read:
    """What a prompt asks for, words that no rule read, and the same words for who tries again."""

    constraints: Constraints
    not_applied: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


@dataclass
class _Draft:
    """What is read so far."""

    whole: dict[str, Any] = field(default_factory=dict)
    every: dict[str, Any] = field(default_factory=dict)
    prefer: dict[str, Any] = field(default_factory=dict)
    parts: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    closed: bool = False
    left: list[Left] = field(default_factory=list)


def read(prompt: str, words: Words | None = None) -> Read:
    """The constraints that a prompt asks for; of the text at most `MOST_CHARACTERS` are read.

    Args:
        words: names of the catalogue; others are not known to be names.
    """
    words = words or Words()
    draft = _Draft()
    text = _quoted(tidied(f" {tidy(prompt[:MOST_CHARACTERS])} "), draft, words)
    text, names = held_back(text, words)
    text = _cut(text, LENGTHS, draft.every, words, draft.left)
    text = _cut(text, WHOLE, draft.whole, words)
    for clause in _clauses(text):
        _clause(clause, draft, Known(words, names))
    every, parts = Filter(**draft.every), tuple(Part(of=Filter(**of), share=share) for of, share in draft.parts if of)
    made = Constraints(**draft.whole, every=every, parts=parts[:5], closed=draft.closed and len(parts) > 1, prefer=Filter(**draft.prefer))
    told = [one.words for one in draft.left]
    if len(prompt) > MOST_CHARACTERS:
        told.append(f"all after the first {MOST_CHARACTERS:,} characters")
    return Read(made, tuple(dict.fromkeys(told)), tuple(dict.fromkeys(draft.left)))


def _quoted(text: str, draft: _Draft, words: Words) -> str:
    """Take quoted names out: of the catalogue's they stay as names, others are titles that must be in."""
    def one(found: re.Match[str]) -> str:
        if words.kind(plain(found[1])):
            return f" {found[1]} "
        draft.whole["seeds"] = (*draft.whole.get("seeds", ()), found[1].strip())[:MOST_NAMES] if found[1].strip() else draft.whole.get("seeds", ())
        return CUT

    bare = QUOTED.sub(one, text)
    return BEFORE_TITLE.sub("", bare)


def _cut(text: str, phrases: tuple[Phrase, ...], into: dict[str, Any], words: Words, denied: list[Left] | None = None) -> str:
    """Read every phrase as often as it stands there; returns the rest. What is a tag of the catalogue is left to be read as one.

    Args:
        denied: where what is denied goes that cannot be turned round; None for phrases that are never denied.
    """
    for phrase in phrases:
        while (found := phrase.find(text)) and plain(found[0]) not in words.tags:
            means: dict[str, Any] | None = phrase.means(found)
            is_denied, before = denial(text[: found.start()]) if denied is not None else (False, text[: found.start()])
            if is_denied and denied is not None and (means := turned(means or {})) is None:
                denied.append(Left(plain(found[0]), denied=True))
            for name, value in (means or {}).items():
                into[name] = _both(into[name], value) if name in into else value
            text = f"{before}{CUT}{found.groupdict().get('kept') or ''}{text[found.end():]}"
    return text


def _both(old: Any, new: Any) -> Any:
    """What is said twice: all of names, the common part of bands, the stricter number."""
    if isinstance(old, tuple):
        return (*old, *(one for one in new if one not in old))[: MOST_BANDS if isinstance(old[0], Band) else MOST_NAMES]
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


def _clause(text: str, draft: _Draft, known: Known) -> None:
    """Read a clause into the parts it tells of, or into what holds for all."""
    pieces, mixed = _pieces(text), MIX.search(text) is not None
    first = len(draft.parts)
    for piece, share in pieces:
        own: dict[str, Any] = {}
        mood: dict[str, Any] = {}
        rest = _cut(_cut(piece, TRACK, own, known.words, draft.left), MOOD, mood, known.words, draft.left)
        draft.left += read_names(rest, own, known)
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
