"""When a run looks at the world: as_of, known_as_of, and which days may have changed since the last look."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.core.checks import activity
from trackpools.core.interactions import known_by
from trackpools.errors import ConfigError
from trackpools.shell.store import Store
from trackpools.tables import PLAYS, PLAYS_DAILY

UTC_NAMES = re.compile(r"(Etc/)?(UTC|GMT|UCT|Zulu|Z|Universal)|(UTC|GMT)?[+-]?0{1,2}(:00)?")


@dataclass(frozen=True)
class Moment:
    """`as_of`: plays before it count; `known_as_of`: of those, the ones received before it. Both aware, UTC."""

    as_of: datetime
    known_as_of: datetime


def parse_time(text: str, option: str) -> datetime:
    """An ISO 8601 time; without a zone it is UTC.

    Raises:
        ConfigError: for anything else, or outside 1970 to 2200.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{option} takes an ISO 8601 time such as 2026-01-31T00:00:00Z; got {text!r:.80}"
        ) from error
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if not 1970 <= time.year <= 2200:
        raise ConfigError(f"{option} must lie between 1970 and 2200; got {text!r:.80}")
    return time


def require_utc(spark: SparkSession) -> None:
    """Days are UTC days, and Spark cuts days in the session's time zone.

    Raises:
        ConfigError: where a session that we did not build has another zone.
    """
    zone = spark.conf.get("spark.sql.session.timeZone") or ""
    if not UTC_NAMES.fullmatch(zone):
        raise ConfigError(
            f"the session's time zone is {zone}; set spark.sql.session.timeZone=UTC where the session is built"
        )


def resolve(store: Store, plays_version: int, as_of: str | None, known_as_of: str | None) -> Moment:
    """The moment of a run.

    Without `as_of`: one millisecond after the last play, knowing everything received. With it, `known_as_of` defaults to
    it: what a run at that time could have known. A log without times looks from the commit that imported it.
    """
    if as_of is not None:
        at = parse_time(as_of, "--as-of")
        return Moment(at, parse_time(known_as_of, "--known-as-of") if known_as_of else at)
    micros = (F.unix_micros("last_played").alias("played"), F.unix_micros("last_received").alias("received"))
    last = activity(store.read(PLAYS.name, plays_version)).select(*micros).first()
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
    """First day that `plays_daily` must recompute; None is all of them.

    Days before the lookback stand if nothing older changed: plays only grow, so equal counts are equal plays. `same` is
    what else must be as it was in the last run (configuration, code, catalogue version); it stands in the table's metadata.
    """
    if not store.exists(PLAYS_DAILY.name):
        return None
    last = store.commit(PLAYS_DAILY.name).metadata
    if any(last.get(key) != value for key, value in same.items()) or "as_of" not in last:
        return None
    before = Moment(datetime.fromisoformat(last["as_of"]), datetime.fromisoformat(last["known_as_of"]))
    since = (min(before.as_of, moment.as_of) - timedelta(days=lookback_days)).date()
    now_version = store.version(PLAYS.name)
    old, new = (
        _older(store, version, at, since)
        for version, at in ((last["plays_version"], before), (now_version, moment))
    )
    return since if old == new else None


def _older(store: Store, version: int | None, moment: Moment, since: date) -> int:
    plays = store.read(PLAYS.name, version).where(known_by(moment.as_of, moment.known_as_of))
    return plays.where(
        F.col("played_at") < F.lit(datetime(since.year, since.month, since.day, tzinfo=UTC))
    ).count()
