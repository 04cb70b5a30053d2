"""What every command shares: configuration, lock, session, progress, one answer for people or for scripts."""

import contextlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from trackpools.config import Config
from trackpools.errors import ConfigError, TrackpoolsError
from trackpools.shell.settings import load_config

STDERR = Console(stderr=True)
WIDE = 200  # columns where no terminal says how many: a file has room
RAISES: ContextVar[bool] = ContextVar(
    "raises", default=False
)  # a failure is raised once it is told, for runners that take every exit for one


@dataclass(frozen=True)
class Options:
    """The options that all commands take."""

    root: str | None = None
    config: str | None = None
    settings: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False


@dataclass
class Answer:
    """What a command has to say; `lines` are for people, the rest for scripts.

    Attributes:
        then: what is left to do once it is told, for nobody should wait for it; raises nothing.
    """

    release_id: str | None = None
    tables: list[dict[str, Any]] = field(default_factory=list)
    mlflow_run_id: str | None = None
    warnings: list[str] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    then: Callable[[], object] | None = None


class Teller:
    """Progress on standard error: a bar in a terminal, a line a step elsewhere, nothing when quiet."""

    def __init__(self, options: Options, total: int) -> None:
        self.silent = options.quiet
        self.bar = None
        self._told: tuple[str, float] | None = None
        if STDERR.is_terminal and not self.silent:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self.bar = Progress(*columns, console=STDERR, transient=True)
            self.task = self.bar.add_task("starting Spark", total=total)
            self.bar.start()

    def __call__(self, text: str) -> None:
        """A step begins; the one before it is over."""
        self._close()
        self._told = (text, time.monotonic())
        if self.bar is not None:
            self.bar.update(self.task, description=text)
        elif not self.silent:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is the terminal's side of the product

    def _close(self) -> None:
        if self._told is not None and self.bar is not None:
            text, began = self._told
            self.bar.console.print(
                f"  {text.split(':', maxsplit=1)[0]:<14}{time.monotonic() - began:6.1f} s", style="dim"
            )
            self.bar.advance(self.task)
        self._told = None

    def stop(self) -> None:
        self._close()
        if self.bar is not None:
            self.bar.stop()


@contextlib.contextmanager
def telling(options: Options, total: int) -> Iterator[Teller]:
    """Progress that ends however the work does."""
    teller = Teller(options, total)
    try:
        yield teller
    finally:
        teller.stop()


def flow_id(name: str) -> str:
    """Identity of one invocation, for tracking: sortable and unique."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"


def perform(
    command: str, options: Options, work: Callable[[Config], Answer], *, lines_only: bool = False
) -> int:
    """Run a command, print its one answer, and return its exit code.

    With --json: one object on standard output, whatever happens; logs and progress are on standard error. `lines_only` is
    for answers that are objects of their own, one a line; only a failure gets the common object then.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    began = time.monotonic()
    answer, failure = Answer(), None
    try:
        answer = work(load_config(options.config, options.settings, options.root))
    except TrackpoolsError as error:
        failure = error
    except KeyboardInterrupt:
        failure = TrackpoolsError("interrupted; what was published before still stands")
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in {
            "pyspark",
            "delta",
        }:
            failure = ConfigError(
                f"the package {error.name} is missing; on a machine of your own type: pip install 'trackpools[local]'"
            )
        else:
            traceback.print_exc(file=sys.stderr)
            failure = TrackpoolsError(
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}; the trace is on standard error"
            )
    if options.json and not (lines_only and failure is None):
        said = {
            "ok": failure is None,
            "command": command,
            "release_id": answer.release_id,
            "tables": answer.tables,
            "mlflow_run_id": answer.mlflow_run_id,
            "seconds": round(time.monotonic() - began, 3),
            "warnings": answer.warnings,
            "error": None
            if failure is None
            else {"code": failure.code, "message": failure.message, "problems": failure.problems},
        }
        print(json.dumps(said | answer.more, default=str, ensure_ascii=False))  # noqa: T201
    else:
        _print(answer, failure, options)
    if answer.then is not None:
        sys.stdout.flush()  # into a pipe too
        answer.then()
    if failure is not None and RAISES.get():
        raise failure
    return 0 if failure is None else failure.exit_code


def _print(answer: Answer, failure: TrackpoolsError | None, options: Options) -> None:
    console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=WIDE)
    if not options.quiet:
        for warning in answer.warnings:
            STDERR.print(f"warning: {warning}", style="yellow", markup=False)
    for line in answer.lines:
        if isinstance(line, str):
            print(line)  # noqa: T201 - as it is: a console would wrap a line that a script reads
        else:
            console.print(line)
    if failure is not None:
        STDERR.print(
            f"error ({failure.code}): {failure.message}",
            style="bold red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for problem in failure.problems:
            STDERR.print(f"  - {problem}", markup=False, highlight=False, soft_wrap=True)


def as_tables(stats: list[Any]) -> list[dict[str, Any]]:
    """Table statistics for `--json`, the last of each name."""
    return list({one.name: asdict(one) for one in stats}.values())
