"""Check before a run whether the input tables fulfil their contracts.

A contract is a file in `contracts.folder` that says what one input table must fulfil and who is its owner. If
an input breaks its contract, the error names the owner, and nothing is run or published.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.config.data import Contract
from trackpools.config.loading import parse, problems_of
from trackpools.core.log import completeness
from trackpools.errors import ConfigError, QualityError
from trackpools.shell.store.store import Store
from trackpools.tables import TABLES

TIME_COLUMNS = {"plays": "played_at", "signals": "at"}  # table → the column with the time of a row
MAX_SHOWN_HOURS = 12  # greatest number of hours with too few plays that the error lists one by one
RECENT_DAYS = 7  # in plays and signals, filled values are counted in this many days before `as_of`


def contracts(folder: str) -> list[Contract]:
    """Return every contract of a folder, ordered by name of the table.

    Raises:
        ConfigError: If the folder has no file `*.yml`, a file is not a valid contract, a contract names a
            column that its table does not have, or two contracts are for the same table. The error lists
            every problem of every file.
    """
    found, problems = [], []
    files = sorted(Path(folder).glob("*.yml"))
    for file in files:
        try:
            found.append(Contract.model_validate(parse(file.read_text(encoding="utf-8"), str(file))))
        except ValidationError as error:
            problems += [f"{file.name}: {problem}" for problem in problems_of(error, Contract)]
        except (ConfigError, OSError, UnicodeDecodeError) as error:
            problems.append(f"{file.name}: {str(error).replace(chr(10), ' ')[:300]}")
    names = [one.table for one in found]
    problems += [
        f"table {name} has two contracts"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [
        f"{one.table}.filled: the table has no column {name}"
        for one in found
        for name in one.filled
        if name not in TABLES[one.table].schema.names
    ]
    if not files:
        problems.append(f"there is no file *.yml in {folder}")
    if problems:
        raise ConfigError(
            "the contracts of the inputs cannot be used; correct these problems, or set contracts.folder to null",
            problems,
        )
    return sorted(found, key=lambda one: one.table)


def require_contracts(store: Store, config: Config, as_of: datetime | None) -> None:
    """Check every contract; do nothing if `contracts.folder` is null.

    Args:
        store: The store that holds the inputs.
        config: The merged configuration.
        as_of: The `as_of` of the run; None stands for the present moment.

    Raises:
        ConfigError: If the contracts cannot be used.
        QualityError: If an input breaks its contract; the error lists every breach and its owner.
    """
    if config.contracts.folder is None:
        return
    now = as_of or datetime.now(UTC)
    breaches = [
        f"{one.table} (owner: {one.owner}): {what}"
        for one in contracts(config.contracts.folder)
        for what in _breaches(store, one, now)
    ]
    if breaches:
        raise QualityError(
            "inputs break their contracts: nothing was run, and the last release stays in force; ask the owners, or change the contract",
            breaches,
        )


def _breaches(store: Store, one: Contract, now: datetime) -> Iterator[str]:
    """Yield one sentence for each point in which an input breaks its contract."""
    if not store.exists(one.table):
        yield "the table does not exist; nothing was imported"
        return
    last, time = store.commit(one.table), TIME_COLUMNS.get(one.table)
    told = int(last.metadata.get("schema_version", 1))
    if told != one.schema_version:
        yield f"its last import has schema version {told}, but the contract requires version {one.schema_version}"
    rows = store.read(one.table, last.version)
    if time is not None:
        rows = rows.where(F.col(time) < F.lit(now))
    if one.fresh_hours is not None:
        newest = (
            rows.agg(F.max(time).alias("at")).collect()[0]["at"]
            if time
            else datetime.fromtimestamp(last.at, UTC)
        )
        if newest is None or newest.astimezone(UTC) < now - timedelta(hours=one.fresh_hours):
            yield (
                f"its latest data is from {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC, "
                f"more than {one.fresh_hours:g} hours before {now:%Y-%m-%d %H:%M} UTC"
                if newest
                else f"it has no rows before {now:%Y-%m-%d %H:%M} UTC"
            )
    yield from _unfilled(
        one, rows if time is None else rows.where(F.col(time) >= F.lit(now - timedelta(days=RECENT_DAYS)))
    )
    if one.complete is not None:
        yield from _missing(completeness.thin_hours(rows, store.read(t.USERS.name), now, one.complete))


def _unfilled(one: Contract, recent: DataFrame) -> Iterator[str]:
    shares = completeness.filled_shares(recent, one.filled).collect()[0]
    for name, least in one.filled.items():
        if shares[name] is not None and shares[name] < least:
            yield f"{name} is filled in {shares[name]:.1%} of the rows, but the contract requires {least:.1%}"


def _missing(thin: DataFrame) -> Iterator[str]:
    hours = thin.orderBy("market", "hour").collect()
    for row in hours[:MAX_SHOWN_HOURS]:
        yield f"market {row['market']}, hour {row['hour']:02} UTC of the last 24 hours has {row['plays']:,} plays, but usually {row['usual']:,.0f}"
    if len(hours) > MAX_SHOWN_HOURS:
        yield f"{len(hours) - MAX_SHOWN_HOURS} more hours have too few plays"
