"""The terminal: run a command, show its progress, and print its answer as text or as JSON."""

import contextlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from trackpools.config import Config
from trackpools.config.loading import load_config
from trackpools.errors import ConfigError, TrackpoolsError
from trackpools.shell.command import CommandResult, Options, TextTable

STDERR = Console(stderr=True)
DEFAULT_WIDTH = (
    200  # characters in a line of a table if standard output is no terminal and COLUMNS is not set
)
# True: `perform` raises a failure after it printed it. Databricks wheel tasks need this: they must not raise
# SystemExit.
RAISES: ContextVar[bool] = ContextVar("raises", default=False)


class ProgressReporter:
    """Progress on standard error: a bar in a terminal, else one line for each step.

    Args:
        total: Number of steps.
        quiet: Whether to print nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        self.silent = quiet
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
        """Report that a step begins and that the one before it is over."""
        self._close()
        self._told = (text, time.monotonic())
        if self.bar is not None:
            self.bar.update(self.task, description=text)
        elif not self.silent:
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress is written to the terminal

    def _close(self) -> None:
        if self._told is not None and self.bar is not None:
            text, began = self._told
            self.bar.console.print(
                f"  {text.split(':', maxsplit=1)[0]:<14}{time.monotonic() - began:6.1f} s", style="dim"
            )
            self.bar.advance(self.task)
        self._told = None

    def stop(self) -> None:
        """End the last step and remove the bar."""
        self._close()
        if self.bar is not None:
            self.bar.stop()


@contextlib.contextmanager
def report_progress(total: int, *, quiet: bool) -> Iterator[ProgressReporter]:
    """Yield a reporter of `total` steps; it is stopped when the work ends or fails."""
    reporter = ProgressReporter(total, quiet=quiet)
    try:
        yield reporter
    finally:
        reporter.stop()


def perform(
    command: str, options: Options, work: Callable[[Config], CommandResult], *, lines_only: bool = False
) -> int:
    """Run a command, print its answer, and return its exit code.

    With `--json`, exactly one object is printed on standard output, also after a failure (but see
    `lines_only`). Logs and progress go to standard error. Errors of trackpools, interrupts and unexpected
    exceptions all become a failure in the answer.

    Args:
        command: Name of the command, for the JSON answer.
        options: The common options.
        work: The command itself; it gets the merged configuration.
        lines_only: Whether every line of the answer is a JSON object itself. Then the common object is printed
            only for a failure.

    Returns:
        0, or the exit code of the failure.

    Raises:
        TrackpoolsError: The failure, after it was printed, if `RAISES` is True.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # MLflow reads this when it is imported. Without it, MLflow would log its own progress to the terminal.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    began = time.monotonic()
    answer, failure = CommandResult(), None
    try:
        answer = work(load_config(options.config, options.settings, options.root))
    except TrackpoolsError as error:
        failure = error
    except KeyboardInterrupt:
        failure = TrackpoolsError("interrupted; the releases that were published before are unchanged")
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in {
            "pyspark",
            "delta",
        }:
            failure = ConfigError(
                f"the package {error.name} is missing; type: pip install 'trackpools[local]' "
                "(but not on a managed runtime such as Databricks, which brings its own)"
            )
        else:
            traceback.print_exc(file=sys.stderr)
            failure = TrackpoolsError(
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}; "
                "the stack trace is on standard error"
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
        sys.stdout.flush()  # so that a reader of a pipe does not have to wait for `then`
        answer.then()
    if failure is not None and RAISES.get():
        raise failure
    return 0 if failure is None else failure.exit_code


def _print(answer: CommandResult, failure: TrackpoolsError | None, options: Options) -> None:
    console = Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=DEFAULT_WIDTH)
    if not options.quiet:
        for warning in answer.warnings:
            STDERR.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    for line in answer.lines:
        if isinstance(line, str):
            print(line)  # noqa: T201 - a rich console would wrap a line that a script reads
        else:
            console.print(_rendered(line))
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


def _rendered(table: TextTable) -> Table:
    grid = Table(
        title=None if table.title is None else Text(table.title),
        title_justify="center" if table.border else "left",
        caption=None if table.caption is None else Text(table.caption),
        box=HEAVY_HEAD if table.border else None,
        show_header=table.headed,
        pad_edge=table.border,
    )
    for column in table.columns:
        grid.add_column(Text(column), no_wrap=table.no_wrap, overflow="fold")
    for row in table.rows:
        # cells may hold untrusted text, so they are never read as markup
        grid.add_row(*(Text(cell, table.styles.get(cell, "")) for cell in row))
    return grid
