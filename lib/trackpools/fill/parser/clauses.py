"""Clause after clause of a prompt, when its phrases on the whole are read: what holds for all tracks, and what for parts of them."""

import re
from dataclasses import replace
from typing import Any

from trackpools.fill.contract.constraints import MAX_TRACKS, Band, Filter
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.parser.artist_ranks import rank_within, shared
from trackpools.fill.parser.entities import EntityTable, read_names
from trackpools.fill.parser.negation import denial
from trackpools.fill.parser.parse_state import Draft, cut
from trackpools.fill.parser.phrases.grammar import MOOD, TRACK
from trackpools.fill.parser.shares import LESS_SHARE, MIX, SHARE, Counted, clauses, counted, pieces
from trackpools.fill.parser.templates import Phrase

SIDE = 0.4  # of "jazz and Air" each
SONGS = re.compile(r"\b(?:songs?|tracks?|music|playlist|mix)\b")
# what is refused is refused everywhere
EVERY = (
    "no_artists",
    "no_tags",
    "no_titles",
    "no_languages",
    "no_versions",
    "no_years",
    "clean",
    "quiet_days",
)


def read_clauses(text: str, draft: Draft, known: EntityTable, numbered: tuple[Phrase, ...]) -> None:
    """Read clause after clause; what tells of numbers of tracks is parts where there are several."""
    told: list[Counted | str] = []
    for clause in clauses(text):
        numbers = counted(clause, numbered, again=any(isinstance(one, Counted) for one in told))
        if numbers and denial(numbers[0].ahead).scope == "far":
            numbers[0] = replace(numbers[0], text=f" doubtful{numbers[0].text}")
        told += [numbers[0].ahead, *numbers] if numbers and numbers[0].ahead.strip() else numbers or [clause]
    numbers = [
        one
        for one in told
        if isinstance(one, Counted) and (one.count is None or 1 <= one.count <= MAX_TRACKS)
    ]
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


def _one(number: Counted, draft: Draft, known: EntityTable) -> None:
    """The only number of tracks: all of them, unless it bounds how many are something."""
    before = len(draft.left)
    own = _piece(number.text, draft, known) if number.limit else {}
    del draft.left[before:]
    if number.count is None or not number.sure or any(name not in EVERY for name in own):
        draft.leave(number.said)
        return
    draft.whole["tracks"] = round(number.count)
    _clause(number.text, draft, known)


def _counts(told: list[tuple[Counted, dict[str, Any]]], draft: Draft) -> None:
    """Numbers of tracks, each of something: parts; one of nothing that is no less than the others together is the number of all."""
    (first, of_all), others = told[0], [one for one, _ in told[1:]]
    rest = sum(one.count or 0 for one in others)
    if (
        first.sure
        and others
        and others[0].limit != "more"
        and not any(one.sure for one in others)
        and (first.count or 0) >= rest
    ):
        _over(of_all, draft, tuple(of_all))  # "20 rock songs, 5 of them from the 80s"
    bare = [round(one.count) for one, own in told if not own and one.count is not None]
    on_top = any(one.limit == "more" for one, own in told if not own)
    counts = sum(round(one.count) for one, own in told if own and one.count is not None)
    whole = bare[0] if len(bare) == 1 and bare[0] >= counts and not on_top else sum(bare) + counts
    if not bare and (first.limit or any(one.count is None for one, _ in told)):  # of how many?
        for one, _ in told:
            draft.leave(one.said)
        return
    if whole > MAX_TRACKS:
        draft.leave(f"{whole} songs")
    draft.whole["tracks"] = min(whole, MAX_TRACKS)
    shares = []
    for one, own in told:
        share = (whole - counts if one.count is None else round(one.count)) / whole
        if own and share and one.limit != "most":
            draft.parts.append((own, share))
            shares.append(share)
        elif own or one.count is None:
            draft.leave(one.said)
    draft.closed |= sum(shares) > 1 - 1e-9


def _of(one: Counted, draft: Draft, known: EntityTable) -> dict[str, Any] | None:
    """What a number of tracks is of; None where the number is none of tracks."""
    before = len(draft.left)
    own = _piece(one.text, draft, known)
    if not own and not one.sure:
        del draft.left[before:]
        draft.leave(one.said)
        return None
    _over(own, draft, EVERY)
    return own


def _clause(text: str, draft: Draft, known: EntityTable) -> None:
    """Read a clause into the parts it tells of, or into what holds for all."""
    told, mixed, first, ended = pieces(text), MIX.search(text) is not None, len(draft.parts), draft.ended
    shares, before = [share for _, share in told], len(draft.left)
    for at, (piece, _) in enumerate(told):
        if shares[at] == 0:
            draft.leave(piece)
            continue
        own = _piece(piece, draft, known)
        if at == 0 and len(told) > 1 and not mixed and not SHARE.search(text):
            if ended == "wanted" and own and own.keys() <= {"artists", "tags"} and len(draft.left) == before:
                shares = [None, *(0 for _ in told[1:])]  # "Air, Queen and some jazz": how much of each?
            elif not own and not SONGS.search(piece) and shares[1:] == [LESS_SHARE]:
                shares = [None, None]  # "cheer me up with some pop"
        share = shares[at]
        if share is None and draft.mixed:
            _sides(own, draft)
        _over(own, draft, tuple(own) if share is None else EVERY)
        if own:
            draft.parts.append((own, share or 1.0))
    of_parts = [share for share in shares if share]
    draft.closed |= len(of_parts) > 1 and (sum(of_parts) > 0.99 or not SHARE.search(text))
    if mixed and len(draft.parts) == first + 2:
        (one, _), (other, _) = draft.parts[first:]
        draft.parts[first:] = [(shared(one, other), draft.parts[first][1]), draft.parts[first + 1]]


def _sides(own: dict[str, Any], draft: Draft) -> None:
    """Artists, and tags beside them, as two parts."""
    draft.parts += [({name: own.pop(name)}, SIDE) for name in ("artists", "tags")]
    draft.closed = True


def _piece(text: str, draft: Draft, known: EntityTable) -> dict[str, Any]:
    """What a piece of a clause asks of a track."""
    own: dict[str, Any] = {}
    draft.narrowed = False
    rest = cut(cut(text, TRACK, own, draft), MOOD, draft.prefer, draft, turns=False)
    left, draft.ended, draft.mixed = read_names(rest, own, known, after=draft.ended, narrowed=draft.narrowed)
    draft.left += left
    if (years := own.pop("recent", None)) is not None:
        low, high = (None if back is None else draft.year - back for back in years[:2])
        draft.add(own, {"years": (Band(low=low, high=high),)}, f"from {low or ''} to {high or ''}")
    rank_within(own)
    return own


def _over(own: dict[str, Any], draft: Draft, names: tuple[str, ...]) -> None:
    """What is asked of every track, out of what is asked here."""
    for name in names:
        if name in own:
            value = own.pop(name)
            draft.add(draft.every, {name: value}, describe_filter(Filter(**{name: value})))
