"""Write the rows that an importer read into the tables.

First every play is judged. If too many plays are bad, the whole import is refused. Otherwise repeats are
dropped, and new rows are inserted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.contracts.conform import conform
from trackpools.core.log.interactions import is_music
from trackpools.core.log.quarantine import id_reasons, judge, latest_time
from trackpools.datasets import Imported
from trackpools.datasets.file_reading import read_failure
from trackpools.errors import ContractError, InputError, QualityError
from trackpools.schema import Table
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.delta_table import ValueRange
from trackpools.shell.store.store import Store
from trackpools.tables import PLAYS, PLAYS_REJECTED, SIGNALS, TRACKS, USERS


@dataclass(frozen=True)
class IngestResult:
    """The outcome of an import: accepted + rejected + duplicates = read.

    Attributes:
        read: plays in the input.
        accepted: plays that Delta reports as inserted.
        rejected: plays that were refused.
        duplicates: repeats inside the batch, and plays that the table already held.
        reasons: reason → number of refused rows that have it; a row may have several reasons.
        written: name of each table that changed → number of its new or changed rows.
        notes: one sentence for each thing that was ignored, left out or assumed.
    """

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _smallest(df: DataFrame, table: Table) -> DataFrame:
    """Keep one row for each key: the smallest by all other columns, so that the row order does not matter."""
    rest = [c.name for c in table.columns if c.name not in table.key]
    if not rest:
        return df.distinct()
    return df.groupBy(*table.key).agg(F.min(F.struct(*rest)).alias("row")).select(*table.key, "row.*")


def _reject_rows(refused: DataFrame) -> DataFrame:
    """Build rows of `plays_rejected`; equal texts of one source are numbered, so that their keys differ."""
    occurrence = F.row_number().over(Window.partitionBy("source", "row_text").orderBy(F.col("reasons")))
    numbered = refused.select("source", "row_text", "reasons", occurrence.cast("string").alias("occurrence"))
    # The length comes first, so that no two (source, text, occurrence) have the same hash input.
    text = F.concat_ws(":", F.char_length("source").cast("string"), "source", "occurrence", "row_text")
    return numbered.select(F.sha2(text, 256).alias("reject_key"), "source", "row_text", "reasons")


def _tally(judged: DataFrame, raw: DataFrame) -> tuple[int, int, dict[str, int], Mapping[str, Any]]:
    """Count the judged plays.

    Args:
        judged: plays with `reasons`, the array of reasons to refuse them.
        raw: the plays as the importer read them; the number of rows read is counted here.

    Returns:
        The number of rows read; the number of rows refused; reason → number of refused rows that have it; and
        facts about the accepted rows: their number `good`, the bounds `low` and `high` of `played_at`, and
        `by_event` (whether any of them is identified by an event id).

    Raises:
        InputError: if a file cannot be read to its end.
    """
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
        refusal = read_failure(error)
        if refusal is None:
            raise
        raise refusal from error
    assert row is not None  # noqa: S101 - an aggregate has one row
    return read, row["bad"], dict(sorted(reasons.items())), row.asDict()


def _gate(read: int, rejected: int, reasons: Mapping[str, int], limit: float) -> None:
    """Raise an error if an import has no rows, or if its share of refused rows is above `limit`.

    Raises:
        InputError: if no rows were read.
        QualityError: if the share of refused rows is above `limit`.
    """
    if read == 0:
        raise InputError(
            "the input has no rows; check that it is the file you meant and that it has more than a header"
        )
    if rejected / read <= limit:
        return
    raise QualityError(
        f"{rejected} of {read} rows are refused ({rejected / read:.1%}), more than ingest.max_rejected_fraction={limit:g}; nothing was imported. "
        "Correct the input or its column mapping, or increase the limit if so many bad rows are expected",
        [f"{reason}: {count} rows" for reason, count in reasons.items()],
    )


def _between(column: str, low: datetime | None, high: datetime | None) -> ValueRange | None:
    """Return the range of the import's times, so that MERGE skips files of the table outside this range."""
    return None if low is None or high is None else ValueRange(column, low, high)


def _insert_plays(
    store: Store, judged: DataFrame, facts: Mapping[str, Any], metadata: Mapping[str, Any]
) -> tuple[int, int]:
    """Insert the plays that are new.

    Returns:
        The number of rows that Delta inserted; and the number of repeats inside the import and of plays that
        the table already held. The second number is counted without use of the first, so that the caller can
        check that they add up.
    """
    fresh = _smallest(conform(judged.where(F.size("reasons") == 0), PLAYS), PLAYS)
    # A play with an event id may arrive again with another time. So rows of the table can be skipped by time
    # only if no play of the import has an event id.
    prune = None if facts["by_event"] else _between("played_at", facts["low"], facts["high"])
    with persisted(fresh) as unique:
        distinct = unique.count()
        table = store.read(PLAYS.name)
        known = unique.join(
            table if prune is None else table.where(prune.of("")), on="play_key", how="left_semi"
        ).count()
        inserted = store.insert(PLAYS, unique, metadata, prune) if distinct > known else 0
    return inserted, facts["good"] - distinct + known


def _catalogue(imported: Imported, judged: DataFrame | None, known: DataFrame) -> DataFrame | None:
    """Collect the tracks of the catalogue file and of accepted plays of music.

    Refused plays and plays of podcasts add no track. Plays only fill in values that are not known yet, because
    a play does not show whether its track is available, and must not overwrite what a catalogue says.

    Args:
        imported: what the importer read.
        judged: plays with `reasons`; None if the import has no plays.
        known: the present rows of the table `tracks`.

    Returns:
        Rows of `tracks`; None if the import has neither a catalogue nor plays with track data.
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
    """Add to new rows the columns that they lack, with the values of the present row of the same key.

    A value that is neither given nor known is null, with two exceptions: a new track is `available`, and the
    `explicit_policy` of a new user is `allow`.

    Args:
        rows: the new rows; they hold the key of `table` and some of its columns.
        table: the declaration of `tracks` or `users`.
        known: the present rows of the table.
        older_wins: whether a known value is kept even if the new row gives another one.

    Returns:
        Rows with all columns of `table`, one for each row of `rows`.
    """
    key, told = table.key[0], set(rows.columns)
    others = [name for name in table.schema.names if name != key]
    before = known.select(key, *(F.col(name).alias(f"_{name}") for name in others))
    first = {"available": F.lit(True), "explicit_policy": F.lit("allow")}

    def one(name: str) -> Column:
        new, old = [F.col(name)] if name in told else [], [F.col(f"_{name}")]
        choices = [*old, *new] if older_wins else new or old
        # A null in a new row clears the known value. Only the columns of `first` must not be null: for them,
        # the known value is kept, or else the default is used.
        return F.coalesce(*choices, *([*old, first[name]] if name in first else [])).alias(name)

    return conform(rows.join(before, key, "left").select(key, *(one(name) for name in others)), table)


def _has_good_ids(names: Sequence[str], config: Config) -> Column:
    """Return the condition that the columns `names` of a row hold valid ids."""
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
    """Insert or update one row for each key of a table.

    Returns:
        The number of rows written; and a note with the number of rows left out because their id is not valid,
        if there are any.
    """
    if df is None:
        return 0, ()
    good = _has_good_ids(table.key, config)
    with persisted(conform(df, table)) as rows:
        bad = rows.where(~good).count()
        # Only changed rows are merged, because MERGE commits a version even if every row stays as it was.
        with persisted(
            _smallest(rows.where(good), table).subtract(conform(store.read(table.name), table))
        ) as changed:
            written = 0 if changed.isEmpty() else store.upsert(table, changed, metadata)
    return written, (f"left out {bad} rows of {table.name} without a valid {table.key[0]}",) if bad else ()


def _insert_signals(
    store: Store,
    signals: DataFrame | None,
    config: Config,
    now: datetime,
    metadata: Mapping[str, Any],
) -> tuple[int, tuple[str, ...]]:
    """Insert the signals that are new.

    Returns:
        The number of rows written; and notes with the numbers of rows left out, because they are incomplete or
        have an invalid id, or because their time is in the future.
    """
    if signals is None:
        return 0, ()
    told = F.col("kind").isNotNull() & F.col("at").isNotNull()
    whole = _has_good_ids(("user_id", "track_id"), config) & told
    early = F.col("at") <= F.lit(latest_time(config.ingest, now))
    good = whole & early
    with persisted(conform(signals, SIGNALS)) as rows:
        unique = _smallest(rows.where(good), SIGNALS)
        when = F.when(good, F.col("at"))
        counts = (F.count_if(~whole).alias("bad"), F.count_if(whole & ~early).alias("future"))
        row = rows.agg(*counts, F.min(when).alias("low"), F.max(when).alias("high")).collect()[0]
        written = (
            0
            if row["low"] is None
            else store.insert(SIGNALS, unique, metadata, _between("at", row["low"], row["high"]))
        )
    skew = config.ingest.max_clock_skew_s
    left_out = {
        "without a valid user_id or track_id, or without kind or time": row["bad"],
        f"whose time is more than ingest.max_clock_skew_s={skew} seconds after the import": row["future"],
    }
    return written, tuple(
        f"left out {count} rows of signals {why}" for why, count in left_out.items() if count
    )


def ingest(
    store: Store, imported: Imported, config: Config, now: datetime, metadata: Mapping[str, Any]
) -> IngestResult:
    """Write the rows of an import to `plays`, `plays_rejected`, `tracks`, `users` and `signals`.

    If the same input is imported again, nothing changes. Plays are written last: if a crash stops an import,
    a repeated import still finds new plays and completes it.

    Args:
        store: the tables; those that do not exist are created.
        imported: what the importer read.
        config: the configuration.
        now: the time of the import, with a time zone. Plays and signals are refused if one of their times is
            more than `ingest.max_clock_skew_s` later.
        metadata: key → value, which the commits of the tables record.

    Raises:
        InputError: if there are no rows, or if a file cannot be read to its end.
        QualityError: if more than `ingest.max_rejected_fraction` of the rows are refused; nothing is written.
        ContractError: if accepted + rejected + duplicates does not equal the number of rows read.
    """
    if imported.plays is None:
        return _write(
            store,
            imported,
            None,
            IngestResult(notes=imported.notes),
            facts={},
            config=config,
            now=now,
            metadata=metadata,
        )
    with persisted(judge(imported.plays, config.ingest, now)) as judged:
        read, rejected, reasons, facts = _tally(judged, imported.plays)
        _gate(read, rejected, reasons, config.ingest.max_rejected_fraction)
        so_far = IngestResult(read, rejected=rejected, reasons=reasons, notes=imported.notes)
        return _write(store, imported, judged, so_far, facts=facts, config=config, now=now, metadata=metadata)


def _write(
    store: Store,
    imported: Imported,
    judged: DataFrame | None,
    so_far: IngestResult,
    *,
    facts: Mapping[str, Any],
    config: Config,
    now: datetime,
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
    signals, act_notes = _insert_signals(store, imported.signals, config, now, metadata)
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
            f"the row counts do not add up: {accepted} accepted + {so_far.rejected} rejected + {duplicates} duplicates is not {so_far.read} read. "
            "The input or the table plays may have changed while it was read; run the import again",
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
