"""The times that bound what a run sees (`as_of`, `known_as_of`), and the days that it must recompute."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from trackpools.core.contracts.table_checks import last_activity
from trackpools.core.log.interactions import is_known_by
from trackpools.core.log.track_changes import remapped_tracks
from trackpools.errors import ConfigError
from trackpools.shell.identity.work_identity import stands
from trackpools.shell.store.store import Store
from trackpools.tables import PLAYS, PLAYS_DAILY, TRACKS

UTC_NAMES = re.compile(r"(Etc/)?(UTC|GMT|UCT|Zulu|Z|Universal)|(UTC|GMT)?[+-]?0{1,2}(:00)?")


@dataclass(frozen=True)
class Moment:
    """The time bounds of a run, both aware and in UTC.

    Attributes:
        as_of: only plays before this time count.
        known_as_of: of those, only the plays received before this time count.
    """

    as_of: datetime
    known_as_of: datetime


def parse_time(text: str, option: str) -> datetime:
    """Parse an ISO 8601 time; a time without a zone is UTC.

    Args:
        text: the time.
        option: name of the command-line option, for the error message.

    Returns:
        An aware time in UTC.

    Raises:
        ConfigError: if the text is not such a time, or its year is outside 1970 to 2200.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{option} must be an ISO 8601 time such as 2026-01-31T00:00:00Z; got {text!r:.80}"
        ) from error
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not 1970 <= time.year <= 2200:
        raise ConfigError(f"{option} must be a time between the years 1970 and 2200; got {text!r:.80}")
    return time


def require_utc(spark: SparkSession) -> None:
    """Refuse a session whose time zone is not UTC.

    trackpools counts by UTC days, but Spark computes days in the session's time zone.

    Raises:
        ConfigError: if the zone is another one; only a session that trackpools did not build can have one.
    """
    zone = spark.conf.get("spark.sql.session.timeZone") or ""
    if not UTC_NAMES.fullmatch(zone):
        raise ConfigError(
            f"the Spark session's time zone is {zone}, but must be UTC; set spark.sql.session.timeZone=UTC where the session is built"
        )


def resolve(store: Store, plays_version: int, as_of: str | None, known_as_of: str | None) -> Moment:
    """Return the time bounds of a run.

    If `as_of` is given, `known_as_of` defaults to it: the run sees what a run at that time could have known.
    Without `as_of`, it is one millisecond after the last play, and all plays received so far are known unless
    `known_as_of` is given. If no play has a time, both bounds are the time of the last commit of `plays`.

    Args:
        store: holds the table `plays`.
        plays_version: version of `plays` to read.
        as_of: value of `--as-of`, or None.
        known_as_of: value of `--known-as-of`, or None.

    Raises:
        ConfigError: if a given time cannot be parsed.
    """
    if as_of is not None:
        at = parse_time(as_of, "--as-of")
        return Moment(at, parse_time(known_as_of, "--known-as-of") if known_as_of else at)
    micros = (F.unix_micros("last_played").alias("played"), F.unix_micros("last_received").alias("received"))
    last = last_activity(store.read(PLAYS.name, plays_version)).select(*micros).first()
    assert last is not None  # noqa: S101 - an aggregate has one row
    if last["played"] is None:
        at = datetime.fromtimestamp(store.commit(PLAYS.name).at, UTC)
        return Moment(at, at)
    played = _after(last["played"])
    return Moment(
        played,
        parse_time(known_as_of, "--known-as-of") if known_as_of else max(played, _after(last["received"])),
    )


def _after(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros, milliseconds=1)


def days_to_redo(store: Store, moment: Moment, lookback_days: int, same: Mapping[str, Any]) -> date | None:
    """Return the first day that `plays_daily` must recompute, or None if it must recompute all days.

    The days before the lookback stay valid if no play on these days was added since the last run, and none of
    these plays counts for another recording by the present catalogue. To check the first, the number of such
    plays at the last run is compared with the number now. Plays are never removed, so equal numbers mean equal
    plays.

    Args:
        store: holds `plays` and `plays_daily`.
        moment: the time bounds of this run.
        lookback_days: number of days that are always recomputed; they are counted back from the `as_of` of
            this run or of the last run, whichever is earlier.
        same: hashes of code and settings, and the version of `tracks`. The hashes must equal those in the
            metadata that the last run wrote to `plays_daily`; otherwise all days are recomputed.
    """
    if not store.exists(PLAYS_DAILY.name):
        return None
    last = store.commit(PLAYS_DAILY.name).metadata
    former_tracks = last.get("tracks_version")
    if not stands(last, {**same, "tracks_version": former_tracks}) or "as_of" not in last:
        return None
    before = Moment(datetime.fromisoformat(last["as_of"]), datetime.fromisoformat(last["known_as_of"]))
    since = (min(before.as_of, moment.as_of) - timedelta(days=lookback_days)).date()
    old = _older(store, last["plays_version"], before, since)
    new = _older(store, store.version(PLAYS.name), moment, since)
    if former_tracks != same["tracks_version"]:
        if former_tracks is None:
            return None
        tracks = (store.read(TRACKS.name, version) for version in (former_tracks, same["tracks_version"]))
        if not new.join(remapped_tracks(*tracks), "track_id", "left_semi").isEmpty():
            return None
    return since if old.count() == new.count() else None


def _older(store: Store, version: int | None, moment: Moment, since: date) -> DataFrame:
    """Return the plays before the day `since` that are known at `moment`, in one version of `plays`."""
    plays = store.read(PLAYS.name, version).where(is_known_by(moment.as_of, moment.known_as_of))
    return plays.where(F.col("played_at") < F.lit(datetime(since.year, since.month, since.day, tzinfo=UTC)))
