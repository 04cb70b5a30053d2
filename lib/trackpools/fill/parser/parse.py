"""A prompt as constraints, by rules alone: offline, the same every time, and what was not understood is said."""

from dataclasses import dataclass

from trackpools.fill.contract.constraints import MAX_PLAYLIST_S, MAX_PROMPT_CHARS, Constraints, Filter, Part
from trackpools.fill.contract.describe import describe_filter
from trackpools.fill.contract.normalise import Words, tidy
from trackpools.fill.parser.clauses import read_clauses
from trackpools.fill.parser.entities import EntityTable, Left, held_back
from trackpools.fill.parser.parse_state import Draft, cut
from trackpools.fill.parser.phrases.grammar import COUNTS, LENGTHS, REFUSED, WHOLE
from trackpools.fill.parser.rewrite import denied_each, plainly, spelt
from trackpools.fill.parser.shares import TIMES, timed
from trackpools.fill.parser.titles import Titles, held_titles, read_titles

MOST_PARTS = 5


@dataclass(frozen=True)
class ParseResult:
    """What a prompt asks for, words that no rule read, and the same words for who tries again."""

    constraints: Constraints
    not_applied: tuple[str, ...] = ()
    left: tuple[Left, ...] = ()


def read(prompt: str, words: Words | None = None, *, year: int) -> ParseResult:
    """The constraints that a prompt asks for; of the text at most `MAX_PROMPT_CHARS` are read.

    Args:
        words: names of the catalogue; others are not known to be names.
        year: this one, which "the last five years" end with.
    """
    draft = Draft(words or Words(), year)
    bare, quoted = held_titles(f" {tidy(prompt[:MAX_PROMPT_CHARS])} ", draft.words)
    bare, titles = read_titles(plainly(spelt(bare)), quoted)
    _titles(titles, draft)
    text, names = held_back(bare, draft.words)
    text = denied_each(text, draft.words)
    for phrases, into in ((REFUSED, draft.every), (LENGTHS, draft.every)):
        text = cut(text, phrases, into, draft)
    times = timed(text, COUNTS)
    text = cut(text if times is None else times, WHOLE, draft.whole, draft)
    known = EntityTable(draft.words, names)
    read_clauses(text, draft, known, COUNTS if times is None else TIMES)
    if times is not None and (minutes := draft.whole.pop("tracks", None)) is not None:
        draft.whole["seconds"] = min(max(60 * minutes, 60), MAX_PLAYLIST_S)
    every, parts = (
        Filter(**draft.every),
        tuple(Part(of=Filter(**of), share=share) for of, share in draft.parts if of),
    )
    for part in parts[MOST_PARTS:]:
        draft.leave(describe_filter(part.of))
    made = Constraints(
        **draft.whole,
        every=every,
        parts=parts[:MOST_PARTS],
        closed=draft.closed and len(parts) > 1,
        prefer=Filter(**draft.prefer),
    )
    spoken_ = (
        Left(" ".join(map(known.name, one.words.split())), one.denied) for one in draft.left if one.words
    )
    left = tuple(dict.fromkeys(spoken_))
    told = [one.words for one in left]
    if len(prompt) > MAX_PROMPT_CHARS:
        told.append(f"all after the first {MAX_PROMPT_CHARS:,} characters")
    return ParseResult(made, tuple(dict.fromkeys(told)), left)


def _titles(titles: Titles, draft: Draft) -> None:
    for title in titles.doubtful:
        draft.leave(title, denied=True)
    if titles.wanted:
        draft.whole["seeds"] = titles.wanted
    if titles.refused:
        draft.every["no_titles"] = titles.refused
