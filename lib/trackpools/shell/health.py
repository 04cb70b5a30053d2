"""`trackpools watch`: the release in force and the log behind it, against thresholds; a table, MLflow, and a summary to act on."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core import health
from trackpools.core.audience import first_buckets
from trackpools.core.health import Check
from trackpools.errors import QualityError
from trackpools.shell import releases
from trackpools.shell.command import Answer, Options
from trackpools.shell.flow import Flow
from trackpools.shell.measuring import Measure, keep
from trackpools.shell.opening import opened
from trackpools.shell.releases import Release, view
from trackpools.shell.report_drift import Older, drift_of

PREFIX = "watch:"  # of its metrics in pool_metrics; low and high are what they should lie between
SAMPLE = 100_000  # listeners whose scores are compared
# check → what it means and what to look at first
SAID = {
    "fresh": "the log has stopped: is the import running? `trackpools import …`, then `trackpools refresh`",
    "volume": "plays are missing or counted twice: look at the importer's last runs and at `plays_rejected`",
    "listeners": "listeners are missing or new by the crowd: an outage, a market lost, or bots",
    "nulls": "a client stopped sending a column, which weighs plays: ask who owns the log; hold `run` until it is back",
    "psi": "what is spread otherwise changes what pools are made of: look at the report, compare the two releases",
    "lost": "recordings vanished from listening: was a part of the catalogue or of the log lost?",
    "new": "recordings came by the crowd: a new catalogue, or ids that changed",
    "fill": "pools are less full: look at the shortfalls below and at `trackpools explain USER`",
    "short": "this rule leaves pools short: is what it reads (rights, catalogue, listeners) right?",
}


def watch(config: Config, options: Options, *, now: str | None = None) -> Answer:
    """Judge, keep, tell.

    Args:
        now: ISO 8601, instead of the clock: how fresh the log is, is asked of it.

    Raises:
        QualityError: with every check that does not hold, after all were kept.
        InputError: where nothing is published.
    """
    from trackpools.shell.moment import parse_time

    at = parse_time(now, "--now") if now else datetime.now(UTC)
    with opened(config, options, "watch", 3) as flow:
        force = releases.latest(flow.store)
        flow.progress("watch: the log")
        found = list(_of_log(flow, force, at))
        flow.progress("watch: the release in force, and the one before it")
        found += _of_release(flow, force)
        keep(
            flow.store,
            flow.tracker,
            [Measure(PREFIX + one.name, one.slice, one.found, one.low, one.high) for one in found],
            force.run_key,
            force.as_of,
        )
        flow.tracker.tag(
            {
                "trackpools.release_id": force.release_id,
                "trackpools.watch": "holds" if all(one.holds for one in found) else "alert",
            }
        )
        return _answer(flow, options, force, found)


def _of_log(flow: Flow, force: Release, now: datetime) -> Iterator[Check]:
    limits, store = flow.config.watch, flow.store
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(health.is_timed())
    last = plays.agg(F.max("played_at").alias("at")).collect()[0]["at"]
    if last is None:
        return  # a log without times has no days
    last = last.astimezone(UTC)
    yield Check(
        "fresh",
        "all",
        (now - last).total_seconds() / 3600,
        high=limits.fresh_hours,
        usual=f"hours since the last play, {last:%Y-%m-%d %H:%M} UTC",
    )
    counts = {row["ago"]: row for row in health.daily(plays, force.as_of).collect()}
    for name, column in (("volume", "plays"), ("listeners", "users")):
        told = {ago: int(row[column]) for ago, row in counts.items()}
        usual = health.usual(told)
        if usual:
            yield Check(
                name,
                "all",
                told.get(0, 0) / usual,
                limits.volume,
                1 / limits.volume,
                f"{told.get(0, 0):,} in 24 h, usually {usual:,.0f}",
            )
    shares = {row["recent"]: row for row in health.null_shares(plays, force.as_of).collect()}
    if len(shares) == 2:
        for name in health.COLUMNS:
            before = shares[False][name]
            yield Check(
                "nulls",
                f"column={name}",
                shares[True][name],
                high=before + limits.nulls,
                usual=f"{before:.1%} before",
            )


def _of_release(flow: Flow, force: Release) -> Iterator[Check]:
    limits, store, k = flow.config.watch, flow.store, flow.config.pools.k
    rows = health.fullness(view(store, force, t.POOLS.name), k).collect()
    users = sum(row["users"] for row in rows)
    if users:
        yield Check(
            "fill",
            "all",
            sum(row["users"] * row["size"] for row in rows) / users,
            low=limits.fill,
            usual=f"k = {k}",
        )
    for row in sorted((row for row in rows if row["rule"]), key=lambda row: row["rule"]):
        yield Check(
            "short",
            f"rule={row['rule']}",
            row["users"] / users,
            high=limits.short,
            usual=f"{row['users']:,} pools",
        )
    # a refresh leaves these as the full run made them: compare with the full run before that
    older = next(
        (
            one
            for one in releases.before(store, force)
            if one.version(t.RECORDING_FEATURES.name) != force.version(t.RECORDING_FEATURES.name)
        ),
        None,
    )
    if older is None:
        return
    moved = health.turnover(
        view(store, older, t.RECORDING_FEATURES.name), view(store, force, t.RECORDING_FEATURES.name)
    ).collect()[0]
    for name, most in (("lost", limits.lost), ("new", limits.new)):
        if moved[name] is not None:
            yield Check(name, "all", moved[name], high=most, usual=f"since release {older.seq}")
    some = F.col("bucket") < first_buckets(force.rows(t.POOLS.name), SAMPLE, flow.config.pools.buckets)
    drift = drift_of(lambda name: view(store, force, name), Older.of(store, older), some)
    yield from health.within(
        [(name, index, drift.chance[name]) for name, index in drift.psi.items()], limits.psi
    )


def _asked(one: Check) -> str:
    """The bounds of a check, for people."""
    bounds = " to ".join(f"{bound:.3g}" for bound in (one.low, one.high) if bound is not None)
    return (
        bounds
        if one.low is not None and one.high is not None
        else f"≥ {bounds}"
        if one.low is not None
        else f"≤ {bounds}"
    )


def _answer(flow: Flow, options: Options, force: Release, found: list[Check]) -> Answer:
    from rich.table import Table

    grid = Table("check", "of", "found", "should be", "usual", "")
    for one in sorted(found, key=lambda one: one.holds):
        grid.add_row(
            one.name, one.slice, f"{one.found:.3g}", _asked(one), one.usual, "ok" if one.holds else "ALERT"
        )
    broken = [one for one in found if not one.holds]
    if broken:
        problems = [
            f"{one.name} {one.slice}: {one.found:.3g}, should be {_asked(one)} ({one.usual}); {SAID[one.name]}"
            for one in broken
        ]
        said = f"{len(broken)} of {len(found)} checks of release {force.seq} do not hold"
        raise QualityError(
            f"{said}; docs/runbook.md, which the package carries, says what each means", problems
        )
    more: dict[str, Any] = {"checks": [asdict(one) for one in found]}
    after = f"next: trackpools show pools --limit 1 --root {options.root or '…'}"
    said = f"all {len(found)} checks of release {force.seq} hold → {flow.store.where(t.POOL_METRICS.name)}, metrics {PREFIX}…"
    return Answer(
        release_id=force.release_id, mlflow_run_id=flow.tracker.run_id, lines=[grid, said, after], more=more
    )
