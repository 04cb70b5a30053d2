"""What a command is given and what it returns: typed values that know no terminal.

`shell/console.py` prints them.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

Progress = Callable[[str], None]  # reports that a step begins and the step before it is over; gets its text


@contextlib.contextmanager
def no_progress(_: int) -> Iterator[Progress]:
    """Yield a reporter that shows nothing."""
    yield lambda _: None


@dataclass(frozen=True)
class Options:
    """The options that all commands accept.

    Attributes:
        root: Root of the tables, from `--root`.
        config: Path of the configuration file, from `--config`.
        settings: Settings that override the configuration, each `section.key=value`.
        json: Whether the answer is printed as one JSON object.
        quiet: Whether progress and warnings are left out.
        progress: Function from a number of steps to a context manager, which yields the reporter of the steps.
    """

    root: str | None = None
    config: str | None = None
    settings: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    progress: Callable[[int], contextlib.AbstractContextManager[Progress]] = no_progress


@dataclass
class TextTable:
    """A table for people; its cells are plain text, in which markup has no meaning.

    Attributes:
        columns: Heading of each column.
        rows: Rows of cells, one cell for each column.
        title: Text above the table.
        caption: Text below the table.
        border: Whether lines are drawn around cells.
        headed: Whether the headings are shown.
        no_wrap: Whether lines in cells are never broken.
        styles: Whole text of a cell → style of such a cell, such as "bold red".
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    title: str | None = None
    caption: str | None = None
    border: bool = True
    headed: bool = True
    no_wrap: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass
class CommandResult:
    """The answer of a command.

    Attributes:
        release_id: The release that the command published or read.
        tables: Statistics of the tables, see `as_tables`.
        mlflow_run_id: The MLflow run of the command.
        warnings: Warnings, printed on standard error or with `--json`.
        lines: Lines and tables that are printed for people; not part of the JSON answer.
        more: Further keys of the JSON answer.
        then: Function to call after the answer is printed, for work that readers of the answer need not wait
            for. It must not raise.
    """

    release_id: str | None = None
    tables: list[dict[str, Any]] = field(default_factory=list)
    mlflow_run_id: str | None = None
    warnings: list[str] = field(default_factory=list)
    lines: Sequence[str | TextTable] = ()
    more: dict[str, Any] = field(default_factory=dict)
    then: Callable[[], object] | None = None


def printable(text: str, longest: int = 120) -> str:
    """Return untrusted text for one line: unprintable characters become `·`, and it is cut at `longest`."""
    return "".join(letter if letter.isprintable() else "·" for letter in text)[:longest]


def flow_id(name: str) -> str:
    """Return a unique identifier of one call of the command `name`, for tracking; it sorts by time."""
    return f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"


def as_tables(stats: list[Any]) -> list[dict[str, Any]]:
    """Return table statistics for `--json`; if a table occurs more than once, its last statistics count."""
    return list({one.name: asdict(one) for one in stats}.values())
