"""The command `trackpools refresh`.

It brings ids, daily plays and interactions up to date, rebuilds the pools that must change, publishes a
release and reports the result.
"""

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from trackpools import stages as s
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.serving.refresh_scope import REASONS
from trackpools.shell.command import CommandResult, Options, as_tables
from trackpools.shell.commands.pipeline import dry_run
from trackpools.shell.identity import work_identity
from trackpools.shell.measurement import costs
from trackpools.shell.monitoring import input_contracts
from trackpools.shell.pipeline.open_flow import open_flow
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.promotion import canary_check
from trackpools.shell.refresh import rebuild_pools, refresh_plan
from trackpools.shell.refresh.merge_interactions import fold_changes
from trackpools.shell.refresh.refresh_plan import Refresh
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release
from trackpools.shell.reports import publish_report
from trackpools.shell.spark.context import Usage
from trackpools.shell.spark.temporary_conf import few_rows, temporary_confs
from trackpools.shell.store.time_travel import parse_time

BEFORE = ("ids", "daily")  # stages that a refresh runs in the same way as a full run
OF_STAGES = (*BEFORE, "interactions")  # stages whose bodies a refresh calls
COMPUTES = (
    *(s.BY_NAME[name].run for name in OF_STAGES),
    fold_changes,
    refresh_plan.begin,
    rebuild_pools.renew,
)
INPUTS = (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS)
STEPS = (*BEFORE, "fold", "refresh")  # the steps whose cost is recorded
DAY_S = 86_400


def refresh(
    config: Config,
    options: Options,
    *,
    as_of: str | None,
    known_as_of: str | None,
    budget: float | None = None,
) -> CommandResult:
    """Rebuild the pools that must change and publish a release.

    If nothing arrived since the release in force, nothing is done and that release is reported.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        as_of: Only plays before this moment count; ISO 8601.
        known_as_of: Only plays received before this moment count; ISO 8601.
        budget: The most that the refresh may cost, in money; see `costs.require_within`.

    Raises:
        ConfigError: If the refresh would cost more than the budget.
        ContractError: If a table of the release in force is damaged, or a new pool breaks a promise.
        InputError: If nothing is published yet.
        ModelError: If settings of the model or the blend differ from those of the release.
        QualityError: If an input table breaks its contract.
    """
    with open_flow(config, options, "refresh", len(BEFORE) + 5, as_of=as_of, known_as_of=known_as_of) as flow:
        flow.tracker.params(config.flat())
        base = releases.latest(flow.store)
        releases.require_undamaged(flow.store, base)
        input_contracts.require_contracts(flow.store, config, parse_time(as_of, "--as-of") if as_of else None)
        refresh_plan.require_same_recipe(flow, base)
        key = key_of(flow)
        if base.run_key == key:
            return CommandResult(
                release_id=base.release_id,
                lines=[
                    f"release {base.seq} ({base.release_id}) is in force already: there is nothing new since"
                ],
            )
        costs.require_within(flow, budget, STEPS)
        work = refresh_plan.begin(flow, base, key)
        for name in BEFORE:
            flow.run(s.BY_NAME[name])
        return _refresh(flow, options, work, _fold(flow))


def key_of(flow: Flow) -> str:
    """Return the run key of a refresh: a hash of code, settings, input versions and moments.

    A refresh whose key equals that of the release in force has nothing to do.
    """
    sections = tuple(sorted({section for stage in s.STAGES for section in stage.sections} | {"refresh"}))
    settings, versions, moment = (
        work_identity.sections_hash(flow.config, sections),
        flow.pin_versions(INPUTS),
        flow.moment,
    )
    return work_identity.run_key(
        "refresh",
        work_identity.code_hash(*COMPUTES),
        settings,
        versions,
        as_of=moment.as_of,
        known_as_of=moment.known_as_of,
    )


def plan(config: Config) -> CommandResult:
    """Report what a refresh would do, and the merged configuration; nothing is read or written."""
    told = dry_run(config, [s.BY_NAME[name] for name in OF_STAGES])
    last = (
        "refresh: rebuild the pools of the users whose data changed; "
        "writes track_cards, pools, pools_hot, user_factors_hot, releases"
    )
    return replace(
        told,
        lines=[*told.lines[:3], last, *told.lines[3:]],
        more=told.more | {"plan": [*told.more["plan"], "refresh"]},
    )


def _fold(flow: Flow) -> float:
    """Bring `interactions` up to date; return how many seconds that took."""
    stage = s.BY_NAME["interactions"]
    flow.progress("interactions: merge new plays and signals")
    with flow.tracker.stage(stage.name) as told:
        began = time.monotonic()
        rows = fold_changes(flow.store, stage, flow.context(stage))
        seconds = time.monotonic() - began
        told.metrics({"rows_changed": rows, "seconds": seconds})
    return seconds


def _refresh(flow: Flow, options: Options, work: Refresh, fold: float) -> CommandResult:
    began, used, key = time.monotonic(), Usage(flow.spark), work.run_key
    with flow.tracker.stage("refresh") as told:
        with temporary_confs(flow.spark, few_rows(flow.config.session.cores)):
            release = rebuild_pools.renew(work)
            flow.progress("publish: put the release in force")
            release = releases.publish(flow.store, release, key)
        work.measured |= {
            "seconds": time.monotonic() - began,
            "model_days": _model_days(flow, release),
            "hot_share": _hot_share(release),
        }
        for name, version in work.versions.items():
            told.input(name, flow.store.where(name), version)
        told.params(
            {"run_key": key, "refresh": work.number, "buckets": work.turn, "as_of": release.as_of.isoformat()}
        )
        told.metrics(work.measured | used.totals() | {"output_bytes": work.measured["bytes_written"]})
        told.metrics({f"concerned_{reason}": count for reason, count in work.reasons.items()})
    seconds = {done.stage: done.seconds for done in flow.done} | {
        "fold": fold,
        "refresh": work.measured["seconds"],
    }
    cost = costs.record_costs(flow, release, seconds)
    publish_report.follow_release(flow, release)
    broken = canary_check.watch(flow)
    flow.notes.warnings.extend(f"the canary was rolled back: {one}" for one in broken)
    flow.tracker.tag({"trackpools.release_id": release.release_id, "trackpools.seq": release.seq})
    advice = full_run_reasons(flow.config, work.measured)
    flow.notes.warnings.extend(advice)
    return CommandResult(
        release_id=release.release_id,
        tables=as_tables(list(release.tables)),
        mlflow_run_id=flow.tracker.run_id,
        warnings=flow.notes.warnings,
        lines=_report_lines(
            flow,
            work,
            release,
            cost,
            f"trackpools {'run' if advice else 'watch'} --root {options.root or '…'}",
        ),
        more={
            "refresh": work.number,
            "concerned": work.reasons,
            "measured": work.measured,
            "full_run_advised": advice,
        },
    )


def _model_days(flow: Flow, release: Release) -> float:
    made = flow.store.commit_at(t.USER_FACTORS.name, release.version(t.USER_FACTORS.name)).metadata
    return (release.as_of - datetime.fromisoformat(made["as_of"])).total_seconds() / DAY_S


def _hot_share(release: Release) -> float:
    """Return the share of pools in the overlay, where a user who was refreshed twice counts twice."""
    return release.rows(t.POOLS_HOT.name) / max(1, release.rows(t.POOLS.name))


def full_run_reasons(config: Config, measured: dict[str, float]) -> list[str]:
    """Return why to do a full run, one sentence for each exceeded limit; empty if no limit is exceeded.

    Args:
        config: The merged configuration; its section `refresh` has the limits.
        measured: Metric → value; it must contain `unknown_share`, `hot_share` and `model_days`.
    """
    limits = config.refresh
    asked = {
        "unknown_share": (
            limits.max_unknown_share,
            "{:.1%} of what the refreshed users like is of recordings that the model does not know",
        ),
        "hot_share": (
            limits.max_hot_share,
            "{:.1%} of the pools are in the overlay, so readers look in two places",
        ),
        "model_days": (limits.max_model_days, "the model is {:.0f} days old"),
    }
    return [
        f"a full `trackpools run` is advised: {said.format(measured[name])} (refresh.max_{name} is {limit})"
        for name, (limit, said) in asked.items()
        if measured[name] > limit
    ]


def _report_lines(flow: Flow, work: Refresh, release: Release, cost: str, after: str) -> list[Any]:
    measured, everybody = work.measured, release.rows(t.USER_IDS.name)
    buckets = f"{len(work.turn)} of {flow.config.pools.buckets} buckets"
    base, hot = (flow.store.where(table.name) for table in (t.POOLS, t.POOLS_HOT))
    return [
        f"refresh {work.number}: {int(measured['concerned']):,} of {everybody:,} users in {measured['seconds']:.1f} s",
        *(f"  {count:,} {REASONS[reason]}" for reason, count in sorted(work.reasons.items())),
        f"  {measured['bytes_written'] / 2**20:.1f} MiB written: {buckets} → {base}, the others → {hot}",
        f"release {release.seq} ({release.release_id}) published",
        cost,
        f"next: {after}",
    ]
