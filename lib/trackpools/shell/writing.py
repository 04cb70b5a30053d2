"""How a stage's result is written: by the table's mode, with what made it in the commit."""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.checks import id_violations
from trackpools.core.ids import INT32_MAX
from trackpools.errors import ContractError, InputError
from trackpools.shell import identity, overlays
from trackpools.shell.kept import kept
from trackpools.shell.moment import Moment
from trackpools.shell.store import Store
from trackpools.stage import Context, Stage
from trackpools.table import Table

RECIPE = (
    "weights",
    "train",
    "topk",
    "sources",
    "rules",
    "pools",
)  # sections that make the model and the blend


def unchanged(config: Config, stage: Stage, versions: Mapping[str, int]) -> dict[str, Any]:
    """What must be as it was for a stage's older rows to stand; it is kept in the commit's metadata."""
    return {
        "code": identity.code_hash(),
        "settings": identity.sections_hash(config, stage.sections),
        "tracks_version": versions.get(t.TRACKS.name),
    }


def work(
    stage: str, run_key: str, versions: Mapping[str, int], config: Config, at: Moment | Context
) -> dict[str, Any]:
    """What every commit says of how it was made."""
    made: dict[str, Any] = {
        "stage": stage,
        "run_key": run_key,
        "versions": dict(versions),
        "recipe": identity.sections_hash(config, RECIPE),
    }
    return made | {"as_of": at.as_of.isoformat(), "known_as_of": at.known_as_of.isoformat()}


def metadata(stage: Stage, c: Context) -> dict[str, Any]:
    """Which work a commit is."""
    made = work(stage.name, c.run_key, c.versions, c.config, c) | unchanged(c.config, stage, c.versions)
    if t.PLAYS_DAILY in stage.writes:
        made |= {"plays_version": c.versions[t.PLAYS.name], "since": c.since.isoformat() if c.since else None}
    return made


def write(store: Store, table: Table, frame: DataFrame, made: Mapping[str, Any], c: Context) -> float:
    """Write one table of a stage; returns bytes written."""
    before = store.version(table.name)
    if table.mode == "overwrite":
        store.overwrite(table, frame, made)
        if table is t.POOLS:
            overlays.empty(store, made)
    elif table.mode == "replace_days":
        store.replace_days(table, frame, c.since, made)
    else:
        _append_ids(store, table, frame, made)
    last = store.commit(table.name)
    return (
        0.0
        if last.version == before
        else float(last.counted.get("numOutputBytes") or last.counted.get("numTargetBytesAdded") or 0.0)
    )


def _append_ids(store: Store, table: Table, frame: DataFrame, made: Mapping[str, Any]) -> None:
    id_name, idx_name = table.schema.names
    with kept(frame) as fresh:
        top = fresh.agg(F.max(idx_name).alias("top")).first()
        if top is None or top["top"] is None:
            return  # nobody new
        if top["top"] > INT32_MAX:
            raise InputError(
                f"{table.name} would reach {top['top']}, over int32 ({INT32_MAX}), which engines cannot take; split the catalogue"
            )
        store.insert(table, fresh, made)
    refuse(table.name, id_violations(store.read(table.name), id_name, idx_name))


def refuse(name: str, violations: DataFrame) -> int:
    """Raise for counts above zero; returns the rows."""
    row = violations.first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    counts = row.asDict()
    rows = int(counts.pop("rows"))
    require_none(name, counts)
    return rows


def require_none(name: str, violations: Mapping[str, int]) -> None:
    """Raise for counts above zero."""
    broken = [f"{count} × {what}" for what, count in violations.items() if count]
    if broken:
        raise ContractError(
            f"table {name} breaks its promises; nothing was published. This is a fault of trackpools: please report it",
            broken,
        )
