"""Prompts with what they mean, for any catalogue: what `trackpools eval-fill` asks."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, ValidationError

from trackpools.errors import InputError
from trackpools.fill.constraints import Constraints, Strict
from trackpools.fill.grammar import LANGUAGES
from trackpools.fill.prompt import MOST_CHARACTERS
from trackpools.fill.tracks import Flags, Tracks
from trackpools.fill.words import plain

T = TypeVar("T")
OURS = Path(__file__).parent / "suite.yml"
NAME = re.compile(r"\{([a-z]+\d)\}")
LEAST = 8  # tracks of an artist that a prompt names
SPOKEN = {code: name for name, code in reversed(LANGUAGES.items())}


class Written(Strict):
    """A prompt as a file has it; {tag0}, {artist0}, {title0} and {language0} stand for the catalogue's most common, and so on from 0."""

    family: Annotated[str, Field(pattern=r"[a-z_]{1,40}")]
    prompt: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    wants: dict[str, Any]


class Suite(Strict):
    """A versioned set of prompts."""

    version: Annotated[int, Field(ge=1)]
    prompts: Annotated[tuple[Written, ...], Field(min_length=1, max_length=10_000)]


@dataclass(frozen=True)
class Case:
    """A prompt in a catalogue's own names, and what it means."""

    name: str
    family: str
    prompt: str
    wants: Constraints


def load(path: Path | None = None) -> Suite:
    """A suite of a YAML file, ours where none is named.

    Raises:
        InputError: with every problem.
    """
    where = path or OURS
    try:
        return Suite.model_validate(yaml.safe_load(where.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{where} cannot be read as YAML", [str(error)[:300]]) from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:50]]
        raise InputError(
            f"{where} is no suite of prompts; `trackpools eval-fill --schema` prints what fits", problems
        ) from None


def cases(suite: Suite, tracks: Tracks, may: Flags) -> tuple[list[Case], list[str]]:
    """The prompts in the names of a catalogue, and why those left out are.

    Args:
        may: rows that may be played, of which names are taken.

    Raises:
        InputError: for constraints that are none, all at once.
    """
    names = dict(_names(tracks, may))
    made: list[Case] = []
    left: list[str] = []
    wrong: list[str] = []
    for number, one in enumerate(suite.prompts):
        name = f"{one.family}-{number:03}"
        try:
            said = _with(one.prompt, {key: spoken for key, (spoken, _) in names.items()})
            wants = Constraints.model_validate(
                _with(one.wants, {key: meant for key, (_, meant) in names.items()})
            )
        except KeyError as missing:
            left.append(f"{name}: the catalogue has no {missing.args[0]}")
        except ValidationError as error:
            wrong += [f"{name}: {'.'.join(map(str, told['loc']))}: {told['msg']}" for told in error.errors()]
        else:
            made.append(Case(name, one.family, said, wants))
    if wrong:
        raise InputError("some prompts want what are no constraints; see `trackpools fill --schema`", wrong)
    return made, left


def in_turns(some: Sequence[T], family: Callable[[T], str], limit: int | None) -> list[T]:
    """The first of each family, then the second, and so on, to a limit."""
    seen: Counter[str] = Counter()
    turns = []
    for place, one in enumerate(some):
        turns.append((seen[family(one)], place))
        seen[family(one)] += 1
    return [some[place] for _, place in sorted(turns)[:limit]]


def _names(tracks: Tracks, may: Flags) -> Iterator[tuple[str, tuple[str, str]]]:
    """Key → how a prompt says it, and how constraints do."""
    cards = tracks.cards.filter(may)
    tags = Counter(plain(tag) for row in cards["tags"].to_pylist() for tag in row or ())
    artists = Counter(row[0] for row in cards["artist_names"].to_pylist() if row and row[0])
    languages = Counter(language for language in cards["language"].to_pylist() if language in SPOKEN)
    titles = Counter(title for title in cards["title"].to_pylist() if title and '"' not in title)
    known = tracks.words
    # names of several words, for one alone is read only behind words such as by
    whole = [
        name
        for name, count in artists.most_common()
        if count >= LEAST and " " in plain(name) and known.kind(plain(name)) == "artists"
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


def _with(told: Any, names: Mapping[str, str]) -> Any:
    """Something with every {name} in it replaced.

    Raises:
        KeyError: for a name that is not there.
    """
    if isinstance(told, str):
        return NAME.sub(lambda found: names[found[1]], told)
    if isinstance(told, list):
        return [_with(one, names) for one in told]
    if isinstance(told, dict):
        return {key: _with(value, names) for key, value in told.items()}
    return told
