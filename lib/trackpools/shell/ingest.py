"""Take an importer's rows into the tables: judge, refuse a broken file whole, drop repeats, insert what is new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.contract import conform
from trackpools.core.interactions import is_music
from trackpools.core.quarantine import id_reasons, judge
from trackpools.datasets import Imported
from trackpools.datasets.files import not_whole
from trackpools.errors import ContractError, InputError, QualityError
from trackpools.shell.delta_place import Span
from trackpools.shell.kept import kept
from trackpools.shell.store import Store
from trackpools.table import Table
from trackpools.tables import PLAYS, PLAYS_REJECTED, SIGNALS, TRACKS, USERS


@dataclass(frozen=True)
class IngestResult:
    """What became of the rows read: accepted + rejected + duplicates = read.

    Attributes:
        accepted: plays that Delta says it inserted.
        duplicates: repeats inside the batch, and plays that the table already held.
        reasons: reason → refused rows that have it; a row may have several.
        written: table with a new version → rows that are new or changed there.
        notes: what was ignored or assumed.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _smallest(df: DataFrame, table: Table) -> DataFrame:
    """One row a key: the smallest by all columns, so that neither order nor partitions decide."""
    rest = [c.name for c in table.columns if c.name not in table.key]
    if not rest:
        return df.distinct()
    return df.groupBy(*table.key).agg(F.min(F.struct(*rest)).alias("row")).select(*table.key, "row.*")


def _reject_rows(refused: DataFrame) -> DataFrame:
    """Rows of plays_rejected; equal texts of one source are told apart by which occurrence they are."""
    occurrence = F.row_number().over(Window.partitionBy("source", "row_text").orderBy(F.col("reasons")))
    numbered = refused.select("source", "row_text", "reasons", occurrence.cast("string").alias("occurrence"))
    # length first: no two (source, text, occurrence) share a hash input
    text = F.concat_ws(":", F.char_length("source").cast("string"), "source", "occurrence", "row_text")
    return numbered.select(F.sha2(text, 256).alias("reject_key"), "source", "row_text", "reasons")


def _tally(judged: DataFrame, raw: DataFrame) -> tuple[int, int, dict[str, int], Mapping[str, Any]]:
    """Rows read (counted on the raw frame), rows judged to be refused, rows by reason, and bounds of the accepted ones."""
    good = F.size("reasons") == 0
    when = F.when(good, F.col("played_at"))
    facts = (
        F.count_if(~good).alias("bad"),
        F.count_if(good).alias("good"),
        F.min(when).alias("low"),
        F.max(when).alias("high"),
        F.max(F.when(good, F.col("play_key").startswith("e:"))).alias("by_event"),
    )
    try:
        row = judged.agg(*facts).first()
        reasons = {
            r["reason"]: r["count"]
            for r in judged.select(F.explode("reasons").alias("reason")).groupBy("reason").count().collect()
        }
        read = raw.count()
    except (Py4JJavaError, PySparkException) as error:
        refusal = not_whole(error)
        if refusal is None:
            raise
        raise refusal from error
    assert row is not None  # noqa: S101 - an aggregate has one row
    return read, row["bad"], dict(sorted(reasons.items())), row.asDict()


def _gate(read: int, rejected: int, reasons: Mapping[str, int], limit: float) -> None:
    if read == 0:
        raise InputError(
            "the input has no rows; check that it is the file you meant and that it has more than a header"
        )
    if rejected / read <= limit:
        return
    raise QualityError(
        f"{rejected} of {read} rows are refused ({rejected / read:.1%}), more than ingest.max_rejected_fraction={limit:.1%}; nothing was imported. "
        "Mend the input or its column mapping, or raise the limit if so many bad rows are expected",
        [f"{reason}: {count} rows" for reason, count in reasons.items()],
    )


def _between(column: str, low: datetime | None, high: datetime | None) -> Span | None:
    """Lets MERGE skip files of the target outside the batch's times."""
    return None if low is None or high is None else Span(column, low, high)


def _insert_plays(
    store: Store, judged: DataFrame, facts: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[int, int]:
    """Insert new plays; returns rows that Delta inserted, and repeats counted on their own: in the batch and in the table."""
    fresh = _smallest(conform(judged.where(F.size("reasons") == 0), PLAYS), PLAYS)
    # an event id may come again with another time, so only keys that hold the time may be looked for by time
    prune = None if facts["by_event"] else _between("played_at", facts["low"], facts["high"])
    with kept(fresh) as unique:
        distinct = unique.count()
        table = store.read(PLAYS.name)
        known = unique.join(
            table if prune is None else table.where(prune.of("")), on="play_key", how="left_semi"
        ).count()
        inserted = store.insert(PLAYS, unique, metadata, prune) if distinct > known else 0
    return inserted, facts["good"] - distinct + known


def _catalogue(imported: Imported, judged: DataFrame | None, known: DataFrame) -> DataFrame | None:
    """Tracks of the catalogue file and of accepted plays of music; a refused row adds nothing, and a podcast is no track.

    Plays only fill in what is not known: who played a track says nothing of whether it may be played, and must not wipe what a catalogue says.

    Args:
        known: the table `tracks` as it is.
    """
    told = None if imported.tracks is None else _with_known(imported.tracks, TRACKS, known)
    if judged is None or "track" not in judged.columns:
        return told
    played = judged.where((F.size("reasons") == 0) & F.col("track").isNotNull() & is_music()).select(
        "track_id", "track.*"
    )
    if told is not None:
        played = played.join(told.select("track_id"), "track_id", "left_anti")
    filled = _with_known(played, TRACKS, known, older_wins=True)
    return filled if told is None else told.unionByName(filled)


def _with_known(rows: DataFrame, table: Table, known: DataFrame, *, older_wins: bool = False) -> DataFrame:
    """Rows of a table, what they do not tell as it is known; what nobody knows is null, and a track that is new is available.

    Args:
        older_wins: what is known stays also where the rows tell otherwise.
    """
    key, told = table.key[0], set(rows.columns)
    others = [name for name in table.schema.names if name != key]
    before = known.select(key, *(F.col(name).alias(f"_{name}") for name in others))
    first = {"available": F.lit(True), "explicit_policy": F.lit("allow")}

    def one(name: str) -> Column:
        new, old = [F.col(name)] if name in told else [], [F.col(f"_{name}")]
        choices = [*old, *new] if older_wins else new or old
        # null is told too, and clears; but what may not be null falls back to what is known, and then to what is usual
        return F.coalesce(*choices, *([*old, first[name]] if name in first else [])).alias(name)

    return conform(rows.join(before, key, "left").select(key, *(one(name) for name in others)), table)


def _has_good_ids(names: Sequence[str], config: Config) -> Column:
    return (
        F.size(
            F.array_compact(
                F.array(*(rule for name in names for rule in id_reasons(name, config.ingest.max_id_length)))
            )
        )
        == 0
    )


def _upsert(
    store: Store, table: Table, df: DataFrame | None, config: Config, metadata: Mapping[str, Any]
) -> tuple[int, tuple[str, ...]]:
    """Upsert one row a key; rows whose id breaks the rules of ids are left out and counted in a note."""
    if df is None:
        return 0, ()
    good = _has_good_ids(table.key, config)
    with kept(conform(df, table)) as rows:
        bad = rows.where(~good).count()
        # MERGE commits a version even where every row is as it was
        with kept(
            _smallest(rows.where(good), table).subtract(conform(store.read(table.name), table))
        ) as changed:
            written = 0 if changed.isEmpty() else store.upsert(table, changed, metadata)
    return written, (f"left out {bad} {table.name} rows with a bad {table.key[0]}",) if bad else ()


def _insert_signals(
    store: Store, signals: DataFrame | None, config: Config, metadata: Mapping[str, Any]
) -> tuple[int, tuple[str, ...]]:
    """Insert new acts; those without what an act must have, or with a bad id, are left out and counted in a note."""
    if signals is None:
        return 0, ()
    good = (
        _has_good_ids(("user_id", "track_id"), config) & F.col("kind").isNotNull() & F.col("at").isNotNull()
    )
    with kept(conform(signals, SIGNALS)) as rows:
        unique = _smallest(rows.where(good), SIGNALS)
        when = F.when(good, F.col("at"))
        row = rows.agg(
            F.count_if(~good).alias("bad"), F.min(when).alias("low"), F.max(when).alias("high")
        ).collect()[0]
        written = (
            0
            if row["low"] is None
            else store.insert(SIGNALS, unique, metadata, _between("at", row["low"], row["high"]))
        )
    return written, (
        f"left out {row['bad']} signals rows with a bad user_id or track_id, or without kind or time",
    ) if row["bad"] else ()


def ingest(
    store: Store, imported: Imported, config: Config, now: datetime, metadata: Mapping[str, Any]
) -> IngestResult:
    """Bring an importer's rows into plays, plays_rejected, tracks, users and signals.

    Plays land last, so after a crash a rerun finds nothing half done that it would take for done. The same input twice changes nothing.

    Raises:
        InputError: no rows, or files that cannot be read to their end.
        QualityError: over `ingest.max_rejected_fraction`; nothing is written.
        ContractError: accepted + rejected + duplicates is not what was read.
    """
    if imported.plays is None:
        return _write(
            store,
            imported,
            None,
            IngestResult(notes=imported.notes),
            facts={},
            config=config,
            metadata=metadata,
        )
    with kept(judge(imported.plays, config.ingest, now)) as judged:
        read, rejected, reasons, facts = _tally(judged, imported.plays)
        _gate(read, rejected, reasons, config.ingest.max_rejected_fraction)
        so_far = IngestResult(read, rejected=rejected, reasons=reasons, notes=imported.notes)
        return _write(store, imported, judged, so_far, facts=facts, config=config, metadata=metadata)


def _write(
    store: Store,
    imported: Imported,
    judged: DataFrame | None,
    so_far: IngestResult,
    *,
    facts: Mapping[str, Any],
    config: Config,
    metadata: Mapping[str, Any],
) -> IngestResult:
    for table in (PLAYS, SIGNALS, PLAYS_REJECTED, TRACKS, USERS):
        store.create(table)
    tracks, track_notes = _upsert(
        store,
        TRACKS,
        _catalogue(imported, judged, conform(store.read(TRACKS.name), TRACKS)),
        config,
        metadata,
    )
    people = (
        None
        if imported.users is None
        else _with_known(imported.users, USERS, conform(store.read(USERS.name), USERS))
    )
    users, user_notes = _upsert(store, USERS, people, config, metadata)
    signals, act_notes = _insert_signals(store, imported.signals, config, metadata)
    refused = accepted = duplicates = 0
    if judged is not None:
        refused = (
            store.insert(PLAYS_REJECTED, _reject_rows(judged.where(F.size("reasons") > 0)), metadata)
            if so_far.rejected
            else 0
        )
        accepted, duplicates = _insert_plays(store, judged, facts, metadata)
    if accepted + so_far.rejected + duplicates != so_far.read:
        raise ContractError(
            f"the rows do not add up: accepted {accepted} + rejected {so_far.rejected} + duplicates {duplicates} is not read {so_far.read}. "
            "Did the input, or the table plays, change while it was read? Run the import again",
        )
    written = {
        TRACKS.name: tracks,
        USERS.name: users,
        SIGNALS.name: signals,
        PLAYS_REJECTED.name: refused,
        PLAYS.name: accepted,
    }
    some = {name: rows for name, rows in written.items() if rows}
    return replace(
        so_far,
        accepted=accepted,
        duplicates=duplicates,
        written=some,
        notes=(*so_far.notes, *track_notes, *user_notes, *act_notes),
    )
