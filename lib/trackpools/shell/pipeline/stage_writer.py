"""Write the result of a stage, and record in the metadata of the commit how it was computed.

The mode of the table decides how rows are written: overwrite, replace days, or append ids.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.contracts.ids import INT32_MAX
from trackpools.core.contracts.table_checks import id_violations
from trackpools.core.proposals.release_layout import lay_out, release_arrays
from trackpools.errors import ContractError, InputError, NumberTakenError
from trackpools.schema import Table
from trackpools.shell.identity import work_identity
from trackpools.shell.releases import overlays
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.delta_table import ValueRange
from trackpools.shell.store.store import Store
from trackpools.shell.store.time_travel import Moment
from trackpools.shell.training.train import train
from trackpools.stage import Context, Frames, Stage

NUMBER_TRIES = 5
# stage → the functions that its body calls through its context and that decide its result. They are hashed
# separately, because the source of the stage does not name them.
DECIDING_ACTIONS: dict[str, tuple[Callable[..., Any], ...]] = {
    "train": (train,),
    "pools": (lay_out, release_arrays),
}
RECIPE = (
    "weights",
    "train",
    "topk",
    "sources",
    "rules",
    "pools",
)  # sections of the configuration that decide the model and the blend


def code(stage: Stage) -> str:
    """Hash what the body of a stage computes, together with the actions that decide its result."""
    return work_identity.code_hash(stage.run, *DECIDING_ACTIONS.get(stage.name, ()))


def unchanged(config: Config, stage: Stage, versions: Mapping[str, int]) -> dict[str, Any]:
    """Return what must stay the same so that the rows of an earlier run of a stage are still valid.

    Returns:
        `code` and `settings` (hashes), and `tracks_version` (the version of `tracks`, or None if the stage
        does not read it). They are part of the metadata of each commit of the stage.
    """
    return {
        "code": code(stage),
        "settings": work_identity.sections_hash(config, stage.sections),
        "tracks_version": versions.get(t.TRACKS.name),
    }


def run_keys(config: Config, stage: Stage, versions: Mapping[str, int], at: Moment | Context) -> list[str]:
    """Return the run key of a stage, followed by the keys of the same work in older trackpools versions."""
    settings = work_identity.sections_hash(config, stage.sections)
    when = {"as_of": at.as_of, "known_as_of": at.known_as_of}
    return [
        work_identity.run_key(stage.name, one, settings, versions, **when)
        for one in work_identity.codes(code(stage))
    ]


def is_result(made: Mapping[str, Any], stage: Stage, c: Context) -> bool:
    """Return whether a commit with the metadata `made` holds the result of the stage in the context `c`."""
    return made.get("run_key") in run_keys(c.config, stage, c.versions, c)


def work(
    stage: str, run_key: str, versions: Mapping[str, int], config: Config, at: Moment | Context
) -> dict[str, Any]:
    """Return the metadata of any stage's commit: stage, run key, input versions, settings hash and times."""
    made: dict[str, Any] = {
        "stage": stage,
        "run_key": run_key,
        "versions": dict(versions),
        "recipe": work_identity.sections_hash(config, RECIPE),
    }
    return made | {"as_of": at.as_of.isoformat(), "known_as_of": at.known_as_of.isoformat()}


def metadata(stage: Stage, c: Context) -> dict[str, Any]:
    """Return the metadata for a commit of a stage: the results of `work` and `unchanged`.

    For the stage `daily`, it adds the version of `plays` and the first day that is written again (`since`).
    """
    made = work(stage.name, c.run_key, c.versions, c.config, c) | unchanged(c.config, stage, c.versions)
    if t.PLAYS_DAILY in stage.writes:
        made |= {"plays_version": c.versions[t.PLAYS.name], "since": c.since.isoformat() if c.since else None}
    return made


def write(
    store: Store,
    table: Table,
    frame: DataFrame,
    made: Mapping[str, Any],
    *,
    stage: Stage,
    read: Frames,
    c: Context,
) -> float:
    """Write one table of a stage.

    Overwriting `pools` also clears the overlays, since a full run contains all pools.

    Args:
        store: The store to write to.
        table: The table to write.
        frame: The rows that the stage computed from `read` for this table.
        made: Metadata of the commit.
        stage: The stage; it is run again if another run took its new id numbers.
        read: Table name → frame that the stage read.
        c: Context of the stage.

    Returns:
        Bytes written; 0 if no new version was committed.
    """
    before = store.version(table.name)
    if table.mode == "overwrite":
        store.overwrite(table, frame, made)
        if table is t.POOLS:
            overlays.clear(store, made)
    elif table.mode == "replace_days":
        store.replace_days(table, frame, c.since, made)
    else:
        _append_ids(store, table, frame, made, stage=stage, read=read, c=c)
    last = store.commit(table.name)
    return (
        0.0
        if last.version == before
        else float(last.counted.get("numOutputBytes") or last.counted.get("numTargetBytesAdded") or 0.0)
    )


def _append_ids(
    store: Store,
    table: Table,
    frame: DataFrame,
    made: Mapping[str, Any],
    *,
    stage: Stage,
    read: Frames,
    c: Context,
) -> None:
    """Insert new ids with their numbers.

    If another run took these numbers after `read` was pinned, the stage is run again on the newest version of
    the table.

    Raises:
        NumberTakenError: If other runs took the numbers first in all `NUMBER_TRIES` tries.
        InputError: If a number would exceed int32.
        ContractError: If, after the insert, an id or a number occurs twice or a number is missing.
    """
    id_name, idx_name = table.schema.names
    for attempt in range(NUMBER_TRIES):
        try:
            some = _insert_ids(store, table, frame, made)
            break
        except NumberTakenError:
            if attempt == NUMBER_TRIES - 1:
                raise
            version = store.commit(table.name).version
            frame = stage.run({**read, table.name: store.read(table.name, version)}, c)[table.name]
            made = {**made, "versions": {**made["versions"], table.name: version}}
    if some:
        refuse(table.name, id_violations(store.read(table.name), id_name, idx_name))


def _insert_ids(store: Store, table: Table, frame: DataFrame, made: Mapping[str, Any]) -> bool:
    """Insert the rows of `frame`; return whether it has any."""
    idx_name = table.schema.names[1]
    with persisted(frame) as fresh:
        ends = fresh.agg(F.min(idx_name).alias("first"), F.max(idx_name).alias("last")).first()
        if ends is None or ends["last"] is None:
            return False
        if ends["last"] > INT32_MAX:
            raise InputError(
                f"table {table.name} would reach the number {ends['last']}, which is over int32 ({INT32_MAX}), "
                "the highest that engines can use; split the users or the catalogue into several roots"
            )
        store.insert(table, fresh, made, ValueRange(idx_name, ends["first"], ends["last"]))
    return True


def refuse(name: str, violations: DataFrame) -> int:
    """Raise a ContractError if any count of violations is above zero.

    Args:
        name: Name of the table, for the message.
        violations: One row with the column `rows` and one count for each kind of violation.

    Returns:
        The value of `rows`.
    """
    row = violations.first()
    assert row is not None  # noqa: S101 - an aggregate has one row
    counts = row.asDict()
    rows = int(counts.pop("rows"))
    require_none(name, counts)
    return rows


def require_none(name: str, violations: Mapping[str, int]) -> None:
    """Raise a ContractError if any count of violations (violation → count) is above zero."""
    broken = [f"{count} × {what}" for what, count in violations.items() if count]
    if broken:
        raise ContractError(
            f"table {name} breaks its promises; nothing was published. This is a fault of trackpools: please report it with these lines",
            broken,
        )
