"""Contracts of inputs, read from `contracts.folder` and checked before a run: a breach names the owner, and nothing is published."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.config_contracts import Contract
from trackpools.core import completeness
from trackpools.errors import ConfigError, QualityError
from trackpools.shell.settings import parse, problems_of
from trackpools.shell.store import Store
from trackpools.tables import TABLES

TIMES = {"plays": "played_at", "signals": "at"}
SHOWN = 12  # missing hours that a message names
RECENT = 7  # days in which columns are asked to be filled


def contracts(folder: str) -> list[Contract]:
    """Every contract of a folder, by table.

    Raises:
        ConfigError: with every problem of every file; also where there is none, or two of one table.
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
        f"two contracts of table {name}" for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [
        f"{one.table}.filled: no column {name}"
        for one in found
        for name in one.filled
        if name not in TABLES[one.table].schema.names
    ]
    if not files:
        problems.append(f"no file *.yml in {folder}")
    if problems:
        raise ConfigError(
            "the contracts of the inputs cannot be used; mend these, or set contracts.folder to null",
            problems,
        )
    return sorted(found, key=lambda one: one.table)


def require_kept(store: Store, config: Config, as_of: datetime | None) -> None:
    """Check every contract; does nothing where `contracts.folder` is null.

    Args:
        as_of: when the run looks at the world; None is now.

    Raises:
        QualityError: with every breach and its owner.
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
            "inputs break their contracts: nothing was run, the last release stays in force; ask the owners, or change the contract",
            breaches,
        )


def _breaches(store: Store, one: Contract, now: datetime) -> Iterator[str]:
    if not store.exists(one.table):
        yield "the table does not exist; nothing was imported"
        return
    last, time = store.commit(one.table), TIMES.get(one.table)
    told = int(last.metadata.get("schema_version", 1))
    if told != one.schema_version:
        yield f"its last import was of schema version {told}, the contract is of version {one.schema_version}"
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
            said = f"{newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if newest else "none at all"
            yield f"the latest of it is {said}, more than {one.fresh_hours:g} hours before {now:%Y-%m-%d %H:%M} UTC"
    yield from _unfilled(
        one, rows if time is None else rows.where(F.col(time) >= F.lit(now - timedelta(days=RECENT)))
    )
    if one.complete is not None:
        yield from _missing(completeness.thin_hours(rows, store.read(t.USERS.name), now, one.complete))


def _unfilled(one: Contract, recent: DataFrame) -> Iterator[str]:
    shares = completeness.filled(recent, one.filled).collect()[0]
    for name, least in one.filled.items():
        if shares[name] is not None and shares[name] < least:
            yield f"{name} is filled in {shares[name]:.1%} of rows, the contract says {least:.1%}"


def _missing(thin: DataFrame) -> Iterator[str]:
    hours = thin.orderBy("market", "hour").collect()
    for row in hours[:SHOWN]:
        yield f"market {row['market']}, hour {row['hour']:02} UTC of the last 24: {row['plays']:,} plays, usually {row['usual']:,.0f}"
    if len(hours) > SHOWN:
        yield f"and {len(hours) - SHOWN} more hours"
