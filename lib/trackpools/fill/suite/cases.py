"""Build the cases of `trackpools eval-fill`: prompts with names of a catalogue, and what they mean."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, ValidationError

from trackpools.core.arrays.array_types import BoolArray
from trackpools.errors import InputError
from trackpools.fill.contract.constraints import MAX_PROMPT_CHARS, Constraints, Strict
from trackpools.fill.contract.normalise import plain
from trackpools.fill.parser.templates import LANGUAGES
from trackpools.fill.solver.catalogue import Tracks

T = TypeVar("T")
OURS = Path(__file__).parent / "suite.yml"
NAME = re.compile(r"\{([a-z]+\d)\}")
MIN_ARTIST_TRACKS = 8  # a prompt names only artists with at least this many tracks
SPOKEN = {code: name for name, code in reversed(LANGUAGES.items())}  # code → first name of the language


class SuitePrompt(Strict):
    """A prompt of a suite's file, with placeholders for names of the catalogue.

    {tag0} is replaced by the most common tag, {tag1} by the next, and so on; {artist0} and {language0}
    likewise. {title0}, {title1} … are replaced by titles that only one recording has.

    Attributes:
        family: name of a group of similar prompts; measures are computed for each family.
        prompt: the text of the prompt.
        wants: the constraints that the prompt means.
    """

    family: Annotated[str, Field(pattern=r"[a-z_]{1,40}")]
    prompt: Annotated[str, Field(min_length=1, max_length=MAX_PROMPT_CHARS)]
    wants: dict[str, Any]


class Suite(Strict):
    """A set of prompts with a version."""

    version: Annotated[int, Field(ge=1)]
    prompts: Annotated[tuple[SuitePrompt, ...], Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True)
class Case:
    """A prompt with the names of a catalogue filled in, and the constraints that it means."""

    name: str
    family: str
    prompt: str
    wants: Constraints


def load(path: Path | None = None) -> Suite:
    """Load a suite of prompts.

    Args:
        path: a YAML file; None is the suite of trackpools.

    Raises:
        InputError: if the file cannot be read or is not a valid suite; it lists the first 50 problems.
    """
    where = path or OURS
    try:
        return Suite.model_validate(yaml.safe_load(where.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{where} cannot be read as YAML", [str(error)[:300]]) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:50]]
        raise InputError(
            f"{where} is not a valid suite of prompts; `trackpools eval-fill --schema` prints the schema",
            problems,
        ) from None


def cases(suite: Suite, tracks: Tracks, may: BoolArray) -> tuple[list[Case], list[str]]:
    """Fill the names of a catalogue into the prompts of a suite.

    Args:
        suite: the suite.
        tracks: the catalogue.
        may: bool [len(tracks)], whether the user may get each track; names are taken from these tracks only.

    Returns:
        The cases; and one message for each prompt that was left out, because the catalogue lacks a name.

    Raises:
        InputError: if prompts have invalid constraints; it lists all of them.
    """
    names = dict(_names(tracks, may))
    made: list[Case] = []
    left: list[str] = []
    wrong: list[str] = []
    for number, one in enumerate(suite.prompts):
        name = f"{one.family}-{number:03}"
        try:
            said = _fill_names(one.prompt, {key: spoken for key, (spoken, _) in names.items()})
            wants = Constraints.model_validate(
                _fill_names(one.wants, {key: meant for key, (_, meant) in names.items()})
            )
        except KeyError as missing:
            left.append(f"{name}: the catalogue has no {missing.args[0]}")
        except ValidationError as error:
            wrong += [f"{name}: {'.'.join(map(str, told['loc']))}: {told['msg']}" for told in error.errors()]
        else:
            made.append(Case(name, one.family, said, wants))
    if wrong:
        raise InputError(
            "some prompts have invalid constraints; `trackpools fill --schema` prints the schema", wrong
        )
    return made, left


def in_turns(some: Sequence[T], family: Callable[[T], str], limit: int | None) -> list[T]:
    """Return the first item of each family, then the second of each, and so on, at most `limit` items."""
    seen: Counter[str] = Counter()
    turns = []
    for place, one in enumerate(some):
        turns.append((seen[family(one)], place))
        seen[family(one)] += 1
    return [some[place] for _, place in sorted(turns)[:limit]]


def _names(tracks: Tracks, may: BoolArray) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (placeholder, (the name in a prompt, the name in constraints)) for each placeholder."""
    cards = tracks.cards.filter(may)
    tags = Counter(plain(tag) for row in cards["tags"].to_pylist() for tag in row or ())
    artists = Counter(row[0] for row in cards["artist_names"].to_pylist() if row and row[0])
    languages = Counter(language for language in cards["language"].to_pylist() if language in SPOKEN)
    titles = Counter(title for title in cards["title"].to_pylist() if title and '"' not in title)
    known = tracks.words
    # Only names of several words are used, because the rules read a single word as an artist only after words
    # such as "by".
    whole = [
        name
        for name, count in artists.most_common()
        if count >= MIN_ARTIST_TRACKS and " " in plain(name) and known.kind(plain(name)) == "artists"
    ]
    for kind, found in (("tag", [tag for tag, _ in tags.most_common(10) if tag]), ("artist", whole[:10])):
        yield from ((f"{kind}{place}", (name, plain(name))) for place, name in enumerate(found))
    yield from (
        (f"title{place}", (title, title))
        for place, title in enumerate(sorted(title for title, count in titles.items() if count == 1)[:10])
    )
    yield from (
        (f"language{place}", (SPOKEN[code], code)) for place, (code, _) in enumerate(languages.most_common(5))
    )


def _fill_names(told: Any, names: Mapping[str, str]) -> Any:
    """Return a JSON value with every {name} in its texts replaced.

    Raises:
        KeyError: if `names` lacks a name.
    """
    if isinstance(told, str):
        return NAME.sub(lambda found: names[found[1]], told)
    if isinstance(told, list):
        return [_fill_names(one, names) for one in told]
    if isinstance(told, dict):
        return {key: _fill_names(value, names) for key, value in told.items()}
    return told
