"""A prompt as constraints, by rules alone: offline, the same every time, and what was not understood is said."""

from dataclasses import dataclass, field, replace
from typing import Any

from trackpools.fill.constraints import MOST_SECONDS, MOST_TRACKS, Band, Constraints, Filter, Part
from trackpools.fill.denial import ANY, NARROWED, NARROWS, denial, turned
from trackpools.fill.grammar import CUT, Phrase
from trackpools.fill.merging import said_twice
from trackpools.fill.names import Ended, Known, Left, held_back, names_one, read_names
from trackpools.fill.parts import MIX, SHARE, TIMED, TIMES, Counted, clauses, counted, pieces, timed
from trackpools.fill.phrases import COUNTS, LENGTHS, MOOD, REFUSED, TRACK, WHOLE
from trackpools.fill.ranks import rank_within, shared
from trackpools.fill.spoken import spoken
from trackpools.fill.titles import Titles, held_titles, read_titles
from trackpools.fill.wording import denied_each, plainly, spelt
from trackpools.fill.words import Words, plain, tidy

MOST_CHARACTERS = 2_000
MOST_PARTS = 5
# what is refused is refused everywhere
EVERY = ("no_artists", "no_tags", "no_titles", "no_languages", "no_versions", "no_years", "clean", "quiet_days")


@dataclass(frozen=True)
class Read:
    """What a prompt asks for, words that no rule read, and the same words for who tries again."""

    constraints: Constraints
    not_applied: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


@dataclass
class _Draft:
    """What is read so far; `year` is this one, `ended` how the last clause did, `narrowed` whether part of this one is denied that is not applied."""

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


def read(prompt: str, words: Words | None = None, *, year: int) -> Read:
    """The constraints that a prompt asks for; of the text at most `MOST_CHARACTERS` are read.

    Args:
        words: names of the catalogue; others are not known to be names.
        year: this one, which "the last five years" end with.
    """
    draft = _Draft(words or Words(), year)
    bare, quoted = held_titles(f" {tidy(prompt[:MOST_CHARACTERS])} ", draft.words)
    bare, titles = read_titles(plainly(spelt(bare)), quoted)
    _titles(titles, draft)
    text, names = held_back(bare, draft.words)
    text = denied_each(text, draft.words)
    for phrases, into in ((REFUSED, draft.every), (LENGTHS, draft.every)):
        text = _cut(text, phrases, into, draft)
    times = timed(text, COUNTS)
    text = _cut(text if times is None else times, WHOLE, draft.whole, draft)
    known = Known(draft.words, names)
    _clauses(text, draft, known, COUNTS if times is None else TIMES)
    if times is not None and (minutes := draft.whole.pop("tracks", None)) is not None:
        draft.whole["seconds"] = min(max(60 * minutes, 60), MOST_SECONDS)
    every, parts = Filter(**draft.every), tuple(Part(of=Filter(**of), share=share) for of, share in draft.parts if of)
    for part in parts[MOST_PARTS:]:
        draft.leave(spoken(part.of))
    made = Constraints(**draft.whole, every=every, parts=parts[:MOST_PARTS], closed=draft.closed and len(parts) > 1, prefer=Filter(**draft.prefer))
    spoken_ = (Left(" ".join(map(known.name, one.words.split())), one.denied) for one in draft.left if one.words)
    left = tuple(dict.fromkeys(spoken_))
    told = [one.words for one in left]
    if len(prompt) > MOST_CHARACTERS:
        told.append(f"all after the first {MOST_CHARACTERS:,} characters")
    return Read(made, tuple(dict.fromkeys(told)), left)


def _titles(titles: Titles, draft: _Draft) -> None:
    for title in titles.doubtful:
        draft.leave(title, denied=True)
    if titles.wanted:
        draft.whole["seeds"] = titles.wanted
    if titles.refused:
        draft.every["no_titles"] = titles.refused


def _cut(text: str, phrases: tuple[Phrase, ...], into: dict[str, Any], draft: _Draft, *, turns: bool = True) -> str:
    """Read every phrase as often as it stands there; returns the rest. What is a tag of the catalogue is left to be read as one.

    Args:
        turns: whether what is denied may be turned round.
    """
    for phrase in phrases:
        while (found := phrase.find(text)) and plain(found[0]) not in draft.words.tags:
            before, rest, kept = text[: found.start()], text[found.end():], found.groupdict().get("kept") or ""
            denied, told = denial(before), phrase.means(found)
            scope = "" if denied.scope == "far" and ANY.match(found[0]) else denied.scope  # it brings its own
            if scope == "near":
                before, told = denied.before, turned(told or {}, denied.said) if turns else None
            narrowed = (denied.narrows or NARROWS.match(found[0])) and told != {"clean": True} and draft.is_narrowed(rest)
            if scope == "far" or told is None or narrowed:
                draft.leave(found[0], denied=scope != "")
                draft.narrowed |= scope == "far"
            else:
                draft.add(into, told, found[0])
            text = f"{before}{kept}{CUT}{'doubtful' if narrowed else ''}{rest}"
    return text


def _clauses(text: str, draft: _Draft, known: Known, numbered: tuple[Phrase, ...]) -> None:
    """Read clause after clause; what tells of numbers of tracks is parts where there are several."""
    told: list[Counted | str] = []
    for clause in clauses(text):
        numbers = counted(clause, numbered, again=any(isinstance(one, Counted) for one in told))
        if numbers and denial(numbers[0].ahead).scope == "far":
            numbers[0] = replace(numbers[0], text=f" doubtful{numbers[0].text}")
        told += [numbers[0].ahead, *numbers] if numbers and numbers[0].ahead.strip() else numbers or [clause]
    numbers = [one for one in told if isinstance(one, Counted) and (one.count is None or 1 <= one.count <= MOST_TRACKS)]
    parts: list[tuple[Counted, dict[str, Any]]] = []
    for each in told:
        if isinstance(each, str):
            _clause(each, draft, known)
        elif each not in numbers or denial(each.ahead).scope == "near":
            draft.leave(each.said)
        elif len(numbers) > 1:
            if (own := _of(each, draft, known)) is not None:
                parts.append((each, own))
        else:
            _one(each, draft, known)
    if parts:
        _counts(parts, draft)


def _one(number: Counted, draft: _Draft, known: Known) -> None:
    """The only number of tracks: all of them, unless it bounds how many are something."""
    before = len(draft.left)
    own = _piece(number.text, draft, known) if number.limit else {}
    del draft.left[before:]
    if number.count is None or not number.sure or any(name not in EVERY for name in own):
        draft.leave(number.said)
        return
    draft.whole["tracks"] = round(number.count)
    _clause(number.text, draft, known)


def _counts(told: list[tuple[Counted, dict[str, Any]]], draft: _Draft) -> None:
    """Numbers of tracks, each of something: parts; one of nothing that is no less than the others together is the number of all."""
    (first, of_all), others = told[0], [one for one, _ in told[1:]]
    rest = sum(one.count or 0 for one in others)
    if first.sure and others and others[0].limit != "more" and not any(one.sure for one in others) and (first.count or 0) >= rest:
        _over(of_all, draft, tuple(of_all))  # "20 rock songs, 5 of them from the 80s"
    bare = [round(one.count) for one, own in told if not own and one.count is not None]
    on_top = any(one.limit == "more" for one, own in told if not own)
    counts = sum(round(one.count) for one, own in told if own and one.count is not None)
    whole = bare[0] if len(bare) == 1 and bare[0] >= counts and not on_top else sum(bare) + counts
    if not bare and (first.limit or any(one.count is None for one, _ in told)):  # of how many?
        for one, _ in told:
            draft.leave(one.said)
        return
    if whole > MOST_TRACKS:
        draft.leave(f"{whole} songs")
    draft.whole["tracks"] = min(whole, MOST_TRACKS)
    shares = []
    for one, own in told:
        share = (whole - counts if one.count is None else round(one.count)) / whole
        if own and share and one.limit != "most":
            draft.parts.append((own, share))
            shares.append(share)
        elif own or one.count is None:
            draft.leave(one.said)
    draft.closed |= sum(shares) > 1 - 1e-9


def _of(one: Counted, draft: _Draft, known: Known) -> dict[str, Any] | None:
    """What a number of tracks is of; None where the number is none of tracks."""
    before = len(draft.left)
    own = _piece(one.text, draft, known)
    if not own and not one.sure:
        del draft.left[before:]
        draft.leave(one.said)
        return None
    _over(own, draft, EVERY)
    return own


def _clause(text: str, draft: _Draft, known: Known) -> None:
    """Read a clause into the parts it tells of, or into what holds for all."""
    told, mixed = pieces(text), MIX.search(text) is not None
    first = len(draft.parts)
    for piece, share in told:
        if share == 0:
            draft.leave(piece)
            continue
        own = _piece(piece, draft, known)
        _over(own, draft, tuple(own) if share is None else EVERY)
        if own:
            draft.parts.append((own, share or 1.0))
    shares = [share for _, share in told if share is not None]
    draft.closed |= len(shares) > 1 and (sum(shares) > 0.99 or not SHARE.search(text))
    if mixed and len(draft.parts) == first + 2:
        (one, _), (other, _) = draft.parts[first:]
        draft.parts[first:] = [(shared(one, other), draft.parts[first][1]), draft.parts[first + 1]]


def _piece(text: str, draft: _Draft, known: Known) -> dict[str, Any]:
    """What a piece of a clause asks of a track."""
    own: dict[str, Any] = {}
    draft.narrowed = False
    rest = _cut(_cut(text, TRACK, own, draft), MOOD, draft.prefer, draft, turns=False)
    left, draft.ended = read_names(rest, own, known, after=draft.ended, narrowed=draft.narrowed)
    draft.left += left
    if (years := own.pop("recent", None)) is not None:
        low, high = (None if back is None else draft.year - back for back in years[:2])
        draft.add(own, {"years": (Band(low=low, high=high),)}, f"from {low or ''} to {high or ''}")
    rank_within(own)
    return own


def _over(own: dict[str, Any], draft: _Draft, names: tuple[str, ...]) -> None:
    """What is asked of every track, out of what is asked here."""
    for name in names:
        if name in own:
            value = own.pop(name)
            draft.add(draft.every, {name: value}, spoken(Filter(**{name: value})))
