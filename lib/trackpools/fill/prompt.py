"""A prompt as constraints, by rules alone: offline, the same every time, and what was not understood is said."""

import re
from dataclasses import dataclass, field
from typing import Any

from trackpools.fill.constraints import MOST_BANDS, MOST_TRACKS, Band, Constraints, Filter, Part
from trackpools.fill.denial import ANY, denial, tidied, turned
from trackpools.fill.grammar import Phrase
from trackpools.fill.names import MOST_NAMES, Ended, Known, Left, held_back, read_names
from trackpools.fill.parts import MIX, Counted, clauses, counted, pieces
from trackpools.fill.phrases import COUNTS, LENGTHS, MOOD, REFUSED, TRACK, WHOLE
from trackpools.fill.phrases_track import CUTS, HITS
from trackpools.fill.spoken import spoken
from trackpools.fill.words import Words, plain, tidy

MOST_CHARACTERS = 2_000
MOST_PARTS = 5
CUT = " ¦ "  # stands where a phrase was read: nothing is read across it
QUOTED = re.compile(r'"([^"]{1,200})"')
BEFORE_TITLE = re.compile(
    r"(?:includ(?:e|ing)|(?:start|begin)(?:n?ing)? with|with|must (?:have|include|contain)|has to have|featuring|add|play)"
    r"(?: the)?(?: (?:song|track|title)s?)? +(?=¦)")
# what is refused is refused everywhere
EVERY = ("no_artists", "no_tags", "no_titles", "no_languages", "no_versions", "no_years", "clean", "quiet_days")
RANKS = {HITS: Band(high=5), CUTS: Band(low=6)}
LEAST = frozenset(("artist_cap", "album_cap"))


@dataclass(frozen=True)
class Read:
    """What a prompt asks for, words that no rule read, and the same words for who tries again."""

    constraints: Constraints
    not_applied: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


@dataclass
class _Draft:
    """What is read so far; `year` is this one, `ended` how the last clause did."""

    words: Words
    year: int
    whole: dict[str, Any] = field(default_factory=dict)
    every: dict[str, Any] = field(default_factory=dict)
    prefer: dict[str, Any] = field(default_factory=dict)
    parts: list[tuple[dict[str, Any], float]] = field(default_factory=list)
    closed: bool = False
    left: list[Left] = field(default_factory=list)
    ended: Ended = ""

    def leave(self, said: str, *, denied: bool = False) -> None:
        """Tell words back: they are not applied."""
        self.left.append(Left(plain(said), denied))

    def add(self, into: dict[str, Any], told: dict[str, Any], said: str) -> None:
        """Add what a phrase tells; what cannot hold beside what was told before is not applied."""
        for name, value in told.items():
            if name not in into:
                into[name] = value
            elif (made := _both(name, into[name], value)) is not None:
                into[name] = made
            else:
                self.leave(said)


def read(prompt: str, words: Words | None = None, *, year: int) -> Read:
    """The constraints that a prompt asks for; of the text at most `MOST_CHARACTERS` are read.

    Args:
        words: names of the catalogue; others are not known to be names.
        year: this one, which "the last five years" end with.
    """
    draft = _Draft(words or Words(), year)
    text = _quoted(tidied(f" {tidy(prompt[:MOST_CHARACTERS])} "), draft)
    text, names = held_back(text, draft.words)
    for phrases, into in ((REFUSED, draft.every), (LENGTHS, draft.every), (WHOLE, draft.whole)):
        text = _cut(text, phrases, into, draft)
    _clauses(text, draft, Known(draft.words, names))
    every, parts = Filter(**draft.every), tuple(Part(of=Filter(**of), share=share) for of, share in draft.parts if of)
    for part in parts[MOST_PARTS:]:
        draft.leave(spoken(part.of))
    made = Constraints(**draft.whole, every=every, parts=parts[:MOST_PARTS], closed=draft.closed and len(parts) > 1, prefer=Filter(**draft.prefer))
    left = tuple(dict.fromkeys(one for one in draft.left if one.words))
    told = [one.words for one in left]
    if len(prompt) > MOST_CHARACTERS:
        told.append(f"all after the first {MOST_CHARACTERS:,} characters")
    return Read(made, tuple(dict.fromkeys(told)), left)


def _quoted(text: str, draft: _Draft) -> str:
    """Take quoted names out: of the catalogue's they stay as names, others are titles that must be in, or, denied, must not."""
    def one(found: re.Match[str]) -> str:
        title = found[1].strip()
        if draft.words.kind(plain(title)):
            return f" {title} "
        scope, _ = denial(QUOTED.sub(CUT, f" {text[: found.start()].lstrip()}"))
        if scope == "far":
            draft.leave(title, denied=True)
        elif title:
            into, name = (draft.every, "no_titles") if scope else (draft.whole, "seeds")
            into[name] = (*into.get(name, ()), title)[:MOST_NAMES]
        return CUT

    return BEFORE_TITLE.sub("", QUOTED.sub(one, text))


def _cut(text: str, phrases: tuple[Phrase, ...], into: dict[str, Any], draft: _Draft) -> str:
    """Read every phrase as often as it stands there; returns the rest. What is a tag of the catalogue is left to be read as one."""
    for phrase in phrases:
        while (found := phrase.find(text)) and plain(found[0]) not in draft.words.tags:
            before, kept = text[: found.start()], found.groupdict().get("kept") or ""
            scope, spent = denial(before)
            if scope == "far" and ANY.match(found[0]):  # it brings its own
                scope = ""
            told = phrase.means(found)
            if scope == "near":
                before, told = spent, turned(told or {})
            if scope == "far" or told is None:
                draft.leave(found[0], denied=scope != "")
            else:
                draft.add(into, told, found[0])
            text = f"{before}{kept}{CUT}{text[found.end():]}"
    return text


def _both(name: str, old: Any, new: Any) -> Any:
    """What is said twice: all of names, the common part of bands, the stricter number; None where no track or playlist can be both."""
    if isinstance(old, tuple):
        return (*old, *(one for one in new if one not in old))[: MOST_BANDS if isinstance(old[0], Band) else MOST_NAMES]
    if isinstance(old, Band):
        low, high = max((x for x in (old.low, new.low) if x is not None), default=None), min((x for x in (old.high, new.high) if x is not None), default=None)
        return None if low is not None and high is not None and low > high else Band(low=low, high=high)
    if type(old) is int:
        return min(old, new) if name in LEAST else max(old, new)
    return old if old == new else None


def _clauses(text: str, draft: _Draft, known: Known) -> None:
    """Read clause after clause; what tells of numbers of tracks is parts where there are several."""
    told: list[Counted | str] = []
    for clause in clauses(text):
        numbers = counted(clause, COUNTS, again=any(isinstance(one, Counted) for one in told))
        told += numbers or [clause]
    wrong = [one for one in told if isinstance(one, Counted) and one.count is not None and not 1 <= one.count <= MOST_TRACKS]
    for one in wrong:
        draft.leave(one.said)
    several = sum(isinstance(one, Counted) and one not in wrong for one in told) > 1
    parts: list[tuple[Counted, dict[str, Any]]] = []
    for each in told:
        if isinstance(each, str) or each in wrong or not several:
            _clause(each if isinstance(each, str) else each.text, draft, known)
            if isinstance(each, Counted) and each not in wrong and each.count is not None:
                draft.whole["tracks"] = round(each.count)
        elif (own := _of(each, draft, known)) is not None:
            parts.append((each, own))
    if parts:
        _counts(parts, draft)


def _counts(told: list[tuple[Counted, dict[str, Any]]], draft: _Draft) -> None:
    """Numbers of tracks, each of something: parts; one of nothing that is no less than the others together is the number of all."""
    bare = [round(one.count) for one, own in told if not own and one.count is not None]
    counts = sum(round(one.count) for one, own in told if own and one.count is not None)
    whole = bare[0] if len(bare) == 1 and bare[0] >= counts else sum(bare) + counts
    draft.whole["tracks"] = min(whole, MOST_TRACKS)
    shares = []
    for one, own in told:
        share = (whole - counts if one.count is None else round(one.count)) / whole
        if own and share:
            draft.parts.append((own, share))
            shares.append(share)
        elif one.count is None:
            draft.leave(f"{one.said} {one.rest}")
    draft.closed |= sum(shares) > 1 - 1e-9


def _of(one: Counted, draft: _Draft, known: Known) -> dict[str, Any] | None:
    """What a number of tracks is of; None where the number is none of tracks."""
    before = len(draft.left)
    own = _piece(one.text, draft, known)
    if not own and not one.sure:
        del draft.left[before:]
        draft.leave(f"{one.said} {one.rest}")
        return None
    _over(own, draft, EVERY)
    return own


def _clause(text: str, draft: _Draft, known: Known) -> None:
    """Read a clause into the parts it tells of, or into what holds for all."""
    told, mixed = pieces(text), MIX.search(text) is not None
    first = len(draft.parts)
    for piece, share in told:
        own = _piece(piece, draft, known)
        _over(own, draft, tuple(own) if share is None else EVERY)
        if own:
            draft.parts.append((own, share or 1.0))
    draft.closed |= len(told) > 1
    if mixed and len(draft.parts) == first + 2:
        (one, _), (other, _) = draft.parts[first:]
        draft.parts[first:] = [(_shared(one, other), draft.parts[first][1]), draft.parts[first + 1]]


def _piece(text: str, draft: _Draft, known: Known) -> dict[str, Any]:
    """What a piece of a clause asks of a track."""
    own: dict[str, Any] = {}
    rest = _cut(_cut(text, TRACK, own, draft), MOOD, draft.prefer, draft)
    left, draft.ended = read_names(rest, own, known, after=draft.ended)
    draft.left += left
    if (years := own.pop("recent", None)) is not None:
        draft.add(own, {"years": (Band(low=draft.year - years[0], high=None if years[1] is None else draft.year - years[1]),)}, "")
    _rank_within(own)
    return own


def _over(own: dict[str, Any], draft: _Draft, names: tuple[str, ...]) -> None:
    """What is asked of every track, out of what is asked here."""
    for name in names:
        if name in own:
            value = own.pop(name)
            draft.add(draft.every, {name: value}, spoken(Filter(**{name: value})))


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
