"""Read what is switched off, and verify it, so that a damaged table never reads as "nothing is off".

Delta reads a table whose last commit is empty or missing as an older version, and a missing folder as no
table at all. Therefore every `trackpools switch off` and `on` first commits to the table `switches`, and then
inserts the version of that commit and a digest of what is off into the table `switch_records`. Readers check
`switches` against `switch_records`. A root where nothing was ever switched has neither table.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from trackpools.core.serving.takedowns import Takedowns
from trackpools.errors import ConfigError, ContractError

LOG = logging.getLogger(__name__)
NEVER = -1  # the version of a table that was never created
REPAIR = (
    "Restore the table, or repeat the `trackpools switch` commands that were lost. If neither is possible, switch off everything that must "
    "be off and delete the table switch_records: by that you accept what `trackpools switch list` shows. Then restart the serving processes"
)
_KNOWN: dict[str, "State"] = {}  # location of `switches` → the last state that this process verified
_LOCK = threading.Lock()
Found = TypeVar("Found")


@dataclass(frozen=True)
class Record:
    """A row of `switch_records`: a version of `switches`, and `Takedowns.digest` at that version."""

    version: int
    digest: str


@dataclass(frozen=True)
class Latest:
    """The latest commit of `switches`.

    Attributes:
        version: Version of the table.
        told: Whether the commit names its operation; an emptied commit does not.
    """

    version: int
    told: bool


class Tables(Protocol):
    """Access to the tables `switches` and `switch_records`.

    Each call reads the tables again, and may raise any error of the library that reads them.
    """

    @property
    def where(self) -> str:
        """Path or name of `switches`."""

    def record(self) -> Record | None:
        """Return the record with the greatest version, or None if there is none."""

    def latest(self) -> Latest | None:
        """Return the latest commit of `switches`, or None if the table does not exist."""

    def off(self, version: int) -> Takedowns:
        """Return what is off at a version of `switches`."""


@dataclass(frozen=True)
class State:
    """What is off, and whether that can be trusted.

    Attributes:
        version: Version of the table `switches`, or `NEVER`.
        off: What is off according to the table; nothing if the table cannot be read.
        problem: Why `off` must not be trusted, and what to do about it; empty if it can be trusted.
    """

    version: int
    off: Takedowns
    problem: str = ""


def state(tables: Tables) -> State:
    """Read what is off according to the tables, and verify it.

    Raises:
        ConfigError: If the package that reads the tables is missing.
    """
    # the record is read first, so a concurrent switch can only make the table newer than the record
    record, problem = _tried("switch_records", tables.record)
    read, trouble = _tried("switches", lambda: _content(tables))
    latest, off = read or (None, Takedowns())
    if not problem and not trouble:
        told, trouble = _tried("switches", lambda: _damage(tables, latest, off, record))
        problem = told or ""
    problem = problem or trouble
    return State(NEVER if latest is None else latest.version, off, problem and _with_repair(problem, tables))


def known_off(tables: Tables) -> Takedowns:
    """Return what is off now.

    If the tables cannot be trusted, the result is what this process knew last, together with everything that
    the tables report as off.

    Raises:
        ContractError: If the tables cannot be trusted and this process knows no earlier state.
        ConfigError: If the package that reads the tables is missing.
    """
    found = state(tables)
    with _LOCK:
        known, problem = _KNOWN.get(tables.where), found.problem
        if known is not None and found.version < known.version:
            fell = f"table switches is at version {found.version}, but this process has already read version {known.version}"
            problem = problem or _with_repair(fell, tables)
        if not problem:
            _KNOWN[tables.where] = found
            return found.off
        if known is None:
            raise ContractError(f"nothing is served, because it is unknown what is switched off: {problem}")
        LOG.warning(
            "this process goes on with the switches that it read at version %d: %s", known.version, problem
        )
        _KNOWN[tables.where] = replace(known, off=Takedowns(known.off.pairs | found.off.pairs))
        return _KNOWN[tables.where].off


def _with_repair(problem: str, tables: Tables) -> str:
    return f"{problem} (at {tables.where}). {REPAIR}"


def _content(tables: Tables) -> tuple[Latest | None, Takedowns]:
    latest = tables.latest()
    return latest, Takedowns() if latest is None else tables.off(latest.version)


def _damage(tables: Tables, latest: Latest | None, off: Takedowns, record: Record | None) -> str:
    """Return what is wrong with `switches`, judged by its last commit and the record; empty if nothing."""
    if latest is None:
        return (
            ""
            if record is None
            else f"table switches does not exist, but table switch_records names its version {record.version}"
        )
    if not latest.told:
        return f"the last commit of table switches, version {latest.version}, is empty"
    if record is None:  # an older version of trackpools wrote it, or a switch ended before it was recorded
        return ""
    if latest.version < record.version:
        return f"table switches is at version {latest.version}, but table switch_records names version {record.version}"
    if record.digest == off.digest or (
        latest.version > record.version and tables.off(record.version).digest == record.digest
    ):
        return ""
    return f"the rows of table switches differ from what table switch_records recorded at version {record.version}"


def _tried(table: str, read: Callable[[], Found]) -> tuple[Found | None, str]:
    """Return the result of a read, or None and the reason why it failed.

    Libraries raise many kinds of errors, and none of them may be taken for "nothing is off".
    """
    try:
        return read(), ""
    except ConfigError:
        raise
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        return None, f"table {table} cannot be read ({type(error).__name__}: {said:.200})"
