"""The command `trackpools fill`: fill one playlist, and report it to people or to scripts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.fill.contract.constraints import Constraints
from trackpools.fill.contract.instructions import PACKAGED
from trackpools.fill.contract.messages import FillRequest, Playlist
from trackpools.fill.solver.verify import clock
from trackpools.paths import user_cache
from trackpools.shell.command import CommandResult, TextTable, printable
from trackpools.shell.fills.filler import ExplainedFill, Filler
from trackpools.shell.fills.journal import FillJournal
from trackpools.shell.fills.prompt_registry import instructions
from trackpools.shell.fills.traces import later
from trackpools.shell.llm.local_model import NAME as LOCAL
from trackpools.shell.llm.local_model import for_local, local_model
from trackpools.shell.llm.openai_model import ChatModel
from trackpools.shell.serving.kv.reader import open_release


def fill(config: Config, request: FillRequest, *, model: str | None, explain: bool) -> CommandResult:
    """Fill a playlist from the release in force, and return the answer that reports it.

    Args:
        config: the configuration.
        request: the request.
        model: which language model to use, see the argument `name` of `chosen_model`.
        explain: whether to report also how the playlist was built.

    Raises:
        ConfigError: if no root is set.
        InputError: if nothing is published, or the release has no such user.
        StoppedError: if serving is switched off.
    """
    if config.store.root is None:
        raise ConfigError("fill needs a root, because it reads the tables without a JVM; give --root FOLDER")
    journal = (
        FillJournal(str(config.store.root), config.fill.keep_batch, config.fill.keep_s)
        if config.fill.keep
        else None
    )
    with chosen_model(config, model) as (chooser, fit):
        words, why = instructions(config) if chooser is not None else (PACKAGED, "")
        opened = open_release(fit)
        told = Filler(opened, user_cache() / "cards", words, journal).explain(request, chooser)
    made = told.playlist
    warnings = [
        one
        for one in (
            why,
            "" if made.tracks else "the playlist is empty; the lines marked UNMET say why",
        )
        if one
    ]
    lines: list[str | TextTable] = [_grid(made), _summary(made), *_constraints(made)]
    if explain:
        lines += _explained(told, opened.place)
    more = {"playlist": made.model_dump(mode="json")}
    return CommandResult(
        made.release, warnings=warnings, lines=lines, more=more, then=_after(journal, later(config, told))
    )


def _after(journal: FillJournal | None, trace: Callable[[], bool] | None) -> Callable[[], object] | None:
    """Return a function that writes the journal and the trace after the playlist is reported.

    None means that there is neither.
    """
    if journal is None:
        return trace

    def both() -> object:
        journal.flush()
        return trace() if trace is not None else None

    return both


@contextmanager
def chosen_model(config: Config, name: str | None) -> Iterator[tuple[ChatModel | None, Config]]:
    """Yield the language model that a name selects, and the configuration to use with it.

    Args:
        config: the configuration.
        name: `none` for a fill by rules alone, `local` for a model on this machine, or the name of a model at
            the endpoint `llm.base_url`. None is the configured model, or no model if there is no endpoint.

    Yields:
        The model (None for a fill by rules alone), and the configuration.

    Raises:
        ConfigError: if the name needs an endpoint and none is configured, or if a package or the key of the
            endpoint is missing.
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
            f"the model {name!r:.100} needs an endpoint, but none is set; set llm.base_url and llm.model, or give --model none or --model {LOCAL}"
        )
    else:
        chat = ChatModel(llm if name is None else llm.model_copy(update={"model": name}))
        chat.require_ready()
        yield chat, config


def require_constraints(text: str | None) -> Constraints | None:
    """Parse the constraints of the option `--constraints` from JSON; None stays None.

    Raises:
        ConfigError: if the text is not a JSON object of valid constraints; the error lists every problem.
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
            "--constraints is not a valid JSON object of constraints; `trackpools fill --schema` prints the schema",
            problems,
        ) from None


def _grid(made: Playlist) -> TextTable:
    rows = []
    for place, one in enumerate(made.tracks, 1):
        length = "–" if one.seconds is None else clock(one.seconds)
        artists = ", ".join(one.artists) or "–"
        cells = (str(place), one.title or one.recording_id, artists, length, one.origin, one.reason)
        rows.append([printable(cell) for cell in cells])
    return TextTable(("#", "title", "artists", "length", "from", "why"), rows)


def _summary(made: Playlist) -> str:
    known = [one.seconds for one in made.tracks if one.seconds is not None]
    unknown = len(made.tracks) - len(known)
    length = clock(sum(known)) + (f" and {unknown} of unknown length" if unknown else "")
    by = "code" if made.model == "none" else f"{made.model}: {made.chosen_by_model:.0%}"
    return f"{len(made.tracks)} tracks, {length}; chosen by {by}"


def _constraints(made: Playlist) -> list[Any]:
    lines = [
        printable(
            f"{'ok   ' if one.met else 'UNMET'}  {one.name}: {one.wanted}; {one.got}"
            + (f" ({one.why})" if one.why else ""),
            400,
        )
        for one in made.told
    ]
    lines += [printable(f"note   {note}", 400) for note in made.notes]
    if made.not_applied:
        lines.append(printable(f"not applied: {', '.join(made.not_applied)}", 400))
    if made.degraded:
        lines.append(printable(f"degraded: {made.degraded}", 400))
    return lines


def _explained(found: ExplainedFill, place: str) -> list[Any]:
    made, done, read = found.playlist, found.done, found.understood
    asked = made.constraints.model_dump_json(exclude_defaults=True)
    took = ", ".join(f"{name} {took:.1f} ms" for name, took in made.milliseconds.items())
    world = ", ".join(f"{count} {name}" for name, count in made.candidates.items())
    told: list[Any] = []
    if made.model != "none":
        told = (
            [
                printable(f"the model read the prompt as: {read.model_text}", 500),
                f"dropped from it: {_wrong(read.dropped)}",
            ]
            if read.model_text
            else []
        )
        told += [printable(f"the model answered: {text}", 500) for text in done.choice.texts]
        told.append(
            f"valid candidates in the answer: {len(done.choice.rows)}; dropped from it: {_wrong(done.choice.dropped)}"
        )
        told.append(f"{made.tokens:,} tokens, cost {made.cost:.6f}; instructions: {made.instructions}")
    return [
        *told,
        printable(f"constraints: {asked}", 2000),
        f"candidates: {world}",
        f"release {made.release}, read from {place}; request {made.request_id}",
        took,
    ]


def _wrong(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in dropped.items()) or "nothing"
