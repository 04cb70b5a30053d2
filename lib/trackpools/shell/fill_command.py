"""`trackpools fill`: one playlist, told to people or to scripts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.table import Table as Grid

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.fill.checks import clock
from trackpools.fill.constraints import Constraints
from trackpools.fill.contract import FillRequest, Playlist
from trackpools.fill.pack import PACKAGED
from trackpools.places import user_cache
from trackpools.shell.chat import ChatModel
from trackpools.shell.command import Answer
from trackpools.shell.fill_journal import FillJournal
from trackpools.shell.fill_trace import later
from trackpools.shell.filling import Explained, Filler
from trackpools.shell.kv_reading import open_release
from trackpools.shell.local_llm import NAME as LOCAL
from trackpools.shell.local_llm import for_local, local_model
from trackpools.shell.prompts import instructions
from trackpools.shell.tell import plain


def fill(config: Config, request: FillRequest, *, model: str | None, explain: bool) -> Answer:
    """A playlist of the release in force.

    Args:
        model: see `chosen_model`.

    Raises:
        InputError: where nothing is published, or the release knows no such user.
        StoppedError: where serving is switched off.
    """
    if config.store.root is None:
        raise ConfigError("fill reads tables under a root, without a JVM; name it: --root FOLDER")
    journal = (
        FillJournal(str(config.store.root), config.fill.keep_batch, config.fill.keep_s)
        if config.fill.keep
        else None
    )
    with chosen_model(config, model) as (chooser, fit):
        words, why = instructions(config) if chooser is not None else (PACKAGED, "")
        opened = open_release(fit)
        told = Filler(opened, user_cache() / "cards", words, journal).explained(request, chooser)
    made = told.playlist
    warnings = [
        one
        for one in (
            why,
            "" if made.tracks else "the playlist is empty; what binds is said with what is UNMET",
        )
        if one
    ]
    lines: list[Any] = [_grid(made), _summary(made), *_constraints(made)]
    if explain:
        lines += _explained(told, opened.place)
    more = {"playlist": made.model_dump(mode="json")}
    return Answer(
        made.release, warnings=warnings, lines=lines, more=more, then=_after(journal, later(config, told))
    )


def _after(journal: FillJournal | None, trace: Callable[[], bool] | None) -> Callable[[], object] | None:
    """What is done once the playlist is told."""
    if journal is None:
        return trace

    def both() -> object:
        journal.flush()
        return trace() if trace is not None else None

    return both


@contextmanager
def chosen_model(config: Config, name: str | None) -> Iterator[tuple[ChatModel | None, Config]]:
    """The model of a name, and the configuration for it: `none` is code alone, `local` one on this machine, None the configured one, if there is one.

    Raises:
        ConfigError: for a name without an endpoint, or where packages are missing.
    """
    llm = config.llm
    if name == LOCAL:
        with local_model(llm) as model:
            model.require_ready()
            yield model, config.model_copy(update={"llm": for_local(llm)})
    elif name == "none" or (name is None and llm.base_url is None):
        yield None, config
    elif llm.base_url is None:
        raise ConfigError(
            f"no endpoint is set that has a model {name!r:.100}; set llm.base_url and llm.model, or type --model none or --model {LOCAL}"
        )
    else:
        chat = ChatModel(llm if name is None else llm.model_copy(update={"model": name}))
        chat.require_ready()
        yield chat, config


def require_constraints(text: str | None) -> Constraints | None:
    """Explicit constraints from JSON.

    Raises:
        ConfigError: with every problem.
    """
    from pydantic import ValidationError

    if text is None:
        return None
    try:
        return Constraints.model_validate_json(text)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc'])) or 'constraints'}: {one['msg']}" for one in error.errors()
        ]
        raise ConfigError(
            "--constraints is no JSON object of constraints; `trackpools fill --schema` prints what fits",
            problems,
        ) from None


def _grid(made: Playlist) -> Grid:
    grid = Grid("#", "title", "artists", "length", "from", "why")
    for place, one in enumerate(made.tracks, 1):
        length = "–" if one.seconds is None else clock(one.seconds)
        # titles are untrusted: no markup is read in them
        grid.add_row(
            *(
                plain(text)
                for text in (
                    str(place),
                    one.title or one.recording_id,
                    ", ".join(one.artists) or "–",
                    length,
                    one.origin,
                    one.reason,
                )
            )
        )
    return grid


def _summary(made: Playlist) -> str:
    known = [one.seconds for one in made.tracks if one.seconds is not None]
    unknown = len(made.tracks) - len(known)
    length = clock(sum(known)) + (f" and {unknown} of unknown length" if unknown else "")
    by = "code" if made.model == "none" else f"{made.model}: {made.chosen_by_model:.0%}"
    return f"{len(made.tracks)} tracks, {length}; chosen by {by}"


def _constraints(made: Playlist) -> list[Any]:
    lines = [
        plain(
            f"{'ok   ' if one.met else 'UNMET'}  {one.name}: {one.wanted}; {one.got}"
            + (f" ({one.why})" if one.why else ""),
            400,
        )
        for one in made.told
    ]
    lines += [plain(f"note   {note}", 400) for note in made.notes]
    if made.not_applied:
        lines.append(plain(f"not applied: {', '.join(made.not_applied)}", 400))
    if made.degraded:
        lines.append(plain(f"degraded: {made.degraded}", 400))
    return lines


def _explained(found: Explained, place: str) -> list[Any]:
    made, done, read = found.playlist, found.done, found.understood
    asked = made.constraints.model_dump_json(exclude_defaults=True)
    took = ", ".join(f"{name} {took:.1f} ms" for name, took in made.milliseconds.items())
    world = ", ".join(f"{count} {name}" for name, count in made.candidates.items())
    told: list[Any] = []
    if made.model != "none":
        told = (
            [plain(f"the model read: {read.said}", 500), f"of it {_wrong(read.dropped)} dropped"]
            if read.said
            else []
        )
        told += [plain(f"the model said: {text}", 500) for text in done.asked.said]
        told.append(f"of it {len(done.asked.rows)} candidates, {_wrong(done.asked.dropped)} dropped")
        told.append(f"{made.tokens:,} tokens, {made.cost:.6f}; instructed by {made.instructions}")
    return [
        *told,
        plain(f"constraints: {asked}", 2000),
        f"candidates: {world}",
        f"release {made.release}, read from {place}; request {made.request_id}",
        took,
    ]


def _wrong(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in dropped.items()) or "nothing"
