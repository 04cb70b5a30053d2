"""The command `trackpools watch`: check whether the log and the release in force look as usual.

The results are written to the table `pool_metrics` and to MLflow. The error says for each failed check what
to do.
"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.evaluation import watch_checks
from trackpools.core.evaluation.watch_checks import WatchCheck
from trackpools.core.log.audience import first_buckets
from trackpools.errors import QualityError
from trackpools.shell.command import CommandResult, Options, TextTable
from trackpools.shell.measurement.pool_measures import Measure, save_measures
from trackpools.shell.measurement.release_drift import Older, drift_of
from trackpools.shell.pipeline.open_flow import open_flow
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release, read_pinned

PREFIX = "watch:"  # prefix of the checks' names in pool_metrics, where `low` and `high` are the allowed range
SAMPLE = 100_000  # approximate number of users whose scores are compared with those of the older release
# name of a check → what its failure means, and what to look at first
ADVICE = {
    "fresh": "the log has stopped: check that the import runs, with `trackpools import …`, then `trackpools refresh`",
    "volume": "plays are missing or counted twice: check the last imports and the table `plays_rejected`",
    "listeners": "many users are missing or new: check for an outage, a lost market, or bots",
    "nulls": "a client stopped sending a column that weighs plays: ask the owner of the log, and hold `run` until it is back",
    "psi": "the distribution changed, so pools change too: open the report and compare the two releases",
    "lost": "many recordings are no longer played: check whether a part of the catalogue or of the log was lost",
    "new": "many recordings are new: check for a new catalogue, or for ids that changed",
    "fill": "pools are less full: check the shortfalls below and `trackpools explain USER`",
    "short": "this rule leaves pools short: check the data that it reads (rights, catalogue, users)",
}


def watch(config: Config, options: Options, *, now: str | None = None) -> CommandResult:
    """Run all checks, record the results, and report them.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        now: Moment for which the age of the log is computed, ISO 8601; None stands for the present moment.

    Raises:
        QualityError: If a check does not hold. The error lists every such check. It is raised after all
            results were recorded.
        ConfigError: If `now` is not a valid time.
        InputError: If no release is published.
    """
    from trackpools.shell.store.time_travel import parse_time

    at = parse_time(now, "--now") if now else datetime.now(UTC)
    with open_flow(config, options, "watch", 3) as flow:
        force = releases.latest(flow.store)
        flow.progress("watch: check the log")
        found = list(_of_log(flow, force, at))
        flow.progress("watch: compare the release in force with the one before it")
        found += _of_release(flow, force)
        save_measures(
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


def _of_log(flow: Flow, force: Release, now: datetime) -> Iterator[WatchCheck]:
    """Check the age of the log, and compare the last 24 hours before the release with earlier days."""
    limits, store = flow.config.watch, flow.store
    plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(watch_checks.is_timed())
    last = plays.agg(F.max("played_at").alias("at")).collect()[0]["at"]
    if last is None:
        return  # the log has no times, so there are no days to compare
    last = last.astimezone(UTC)
    yield WatchCheck(
        "fresh",
        "all",
        (now - last).total_seconds() / 3600,
        high=limits.fresh_hours,
        usual=f"hours since the last play, {last:%Y-%m-%d %H:%M} UTC",
    )
    counts = {row["ago"]: row for row in watch_checks.daily(plays, force.as_of).collect()}
    for name, column in (("volume", "plays"), ("listeners", "users")):
        told = {ago: int(row[column]) for ago, row in counts.items()}
        usual = watch_checks.usual_count(told)
        if usual:
            yield WatchCheck(
                name,
                "all",
                told.get(0, 0) / usual,
                limits.volume,
                1 / limits.volume,
                f"{told.get(0, 0):,} in 24 h, usually {usual:,.0f}",
            )
    shares = {row["recent"]: row for row in watch_checks.null_shares(plays, force.as_of).collect()}
    if len(shares) == 2:
        for name in watch_checks.COLUMNS:
            before = shares[False][name]
            yield WatchCheck(
                "nulls",
                f"column={name}",
                shares[True][name],
                high=before + limits.nulls,
                usual=f"{before:.1%} before",
            )


def _of_release(flow: Flow, force: Release) -> Iterator[WatchCheck]:
    """Check how full the pools are, and compare the release in force with the previous full run."""
    limits, store, k = flow.config.watch, flow.store, flow.config.pools.k
    rows = watch_checks.fullness(read_pinned(store, force, t.POOLS.name), k).collect()
    users = sum(row["users"] for row in rows)
    if users:
        yield WatchCheck(
            "fill",
            "all",
            sum(row["users"] * row["size"] for row in rows) / users,
            low=limits.fill,
            usual=f"k = {k}",
        )
    for row in sorted((row for row in rows if row["rule"]), key=lambda row: row["rule"]):
        yield WatchCheck(
            "short",
            f"rule={row['rule']}",
            row["users"] / users,
            high=limits.short,
            usual=f"{row['users']:,} pools",
        )
    # A refresh does not change recording_features. So releases with the same version of this table are
    # skipped, and the comparison is with the previous full run.
    others = (
        one
        for one in releases.before(store, force)
        if one.version(t.RECORDING_FEATURES.name) != force.version(t.RECORDING_FEATURES.name)
    )
    older = next(
        (one for one in others if not releases.damage(store, one, (t.RECORDING_FEATURES.name,))), None
    )
    if older is None:
        return
    moved = watch_checks.turnover(
        read_pinned(store, older, t.RECORDING_FEATURES.name),
        read_pinned(store, force, t.RECORDING_FEATURES.name),
    ).collect()[0]
    for name, most in (("lost", limits.lost), ("new", limits.new)):
        if moved[name] is not None:
            yield WatchCheck(name, "all", moved[name], high=most, usual=f"since release {older.seq}")
    some = F.col("bucket") < first_buckets(force.rows(t.POOLS.name), SAMPLE, flow.config.pools.buckets)
    drift = drift_of(lambda name: read_pinned(store, force, name), Older.of(store, older), some)
    yield from watch_checks.psi_checks(
        [(name, index, drift.chance[name]) for name, index in drift.psi.items()], limits.psi
    )


def _asked(one: WatchCheck) -> str:
    """Return the allowed range of a check as text, such as `≤ 0.25`."""
    bounds = " to ".join(f"{bound:.3g}" for bound in (one.low, one.high) if bound is not None)
    return (
        bounds
        if one.low is not None and one.high is not None
        else f"≥ {bounds}"
        if one.low is not None
        else f"≤ {bounds}"
    )


def _answer(flow: Flow, options: Options, force: Release, found: list[WatchCheck]) -> CommandResult:
    rows = [
        (one.name, one.slice, f"{one.found:.3g}", _asked(one), one.usual, "ok" if one.holds else "ALERT")
        for one in sorted(found, key=lambda one: one.holds)
    ]
    grid = TextTable(("check", "of", "found", "should be", "usual", ""), rows)
    broken = [one for one in found if not one.holds]
    if broken:
        problems = [
            f"{one.name} {one.slice} is {one.found:.3g}, but should be {_asked(one)} ({one.usual}); {ADVICE[one.name]}"
            for one in broken
        ]
        said = f"{len(broken)} of {len(found)} checks of release {force.seq} do not hold"
        raise QualityError(f"{said}; docs/runbook.md in the package says what each check means", problems)
    more: dict[str, Any] = {"checks": [asdict(one) for one in found]}
    after = f"next: trackpools show pools --limit 1 --root {options.root or '…'}"
    said = f"all {len(found)} checks of release {force.seq} hold → {flow.store.where(t.POOL_METRICS.name)}, metrics {PREFIX}…"
    return CommandResult(
        release_id=force.release_id, mlflow_run_id=flow.tracker.run_id, lines=[grid, said, after], more=more
    )
