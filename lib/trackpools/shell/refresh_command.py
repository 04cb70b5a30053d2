"""What `trackpools refresh` does, once options are read: bring ids, days and interactions up to date, refresh, publish, tell."""

import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from trackpools import stages as s
from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.concerned import REASONS
from trackpools.shell import canarying, contracts, costs, refreshing, releases, reporting
from trackpools.shell.cluster import Usage
from trackpools.shell.command import Answer, Options, as_tables
from trackpools.shell.confs import confs, few_rows
from trackpools.shell.flow import Flow
from trackpools.shell.folding import fold_changes
from trackpools.shell.moment import parse_time
from trackpools.shell.opening import opened
from trackpools.shell.refreshing import Refresh
from trackpools.shell.releases import Release
from trackpools.shell.work import dry_run

BEFORE = ("ids", "daily")  # stages that run as they are
STEPS = (*BEFORE, "fold", "refresh")  # what costs
DAY_S = 86_400


def refresh(
    config: Config,
    options: Options,
    *,
    as_of: str | None,
    known_as_of: str | None,
    budget: float | None = None,
) -> Answer:
    """Make the pools of the listeners concerned again and publish; the release in force where nothing came since.

    Args:
        budget: in money; see `costs.require_within`.

    Raises:
        ConfigError: where it would cost more than the budget.
        InputError: where nothing is published yet.
        ModelError: where the settings are not those of the release.
    """
    with opened(config, options, "refresh", len(BEFORE) + 5, as_of=as_of, known_as_of=known_as_of) as flow:
        flow.tracker.params(config.flat())
        base = releases.latest(flow.store)
        contracts.require_kept(flow.store, config, parse_time(as_of, "--as-of") if as_of else None)
        refreshing.require_same_recipe(flow, base)
        key = refreshing.key_of(flow)
        if base.run_key == key:
            return Answer(
                release_id=base.release_id,
                lines=[f"release {base.seq} ({base.release_id}) is in force already: nothing came since"],
            )
        costs.require_within(flow, budget, STEPS)
        work = refreshing.begin(flow, base, key)
        for name in BEFORE:
            flow.run(s.BY_NAME[name])
        return _refresh(flow, options, work, _fold(flow))


def plan(config: Config) -> Answer:
    """What a refresh would do, and the merged configuration; nothing is touched."""
    told = dry_run(config, [s.BY_NAME[name] for name in (*BEFORE, "interactions")])
    last = "refresh: make the pools of the listeners concerned again; writes track_cards, pools, pools_hot, user_factors_hot, releases"
    return replace(
        told,
        lines=[*told.lines[:3], last, *told.lines[3:]],
        more=told.more | {"plan": [*told.more["plan"], "refresh"]},
    )


def _fold(flow: Flow) -> float:
    """Seconds."""
    stage = s.BY_NAME["interactions"]
    flow.progress("interactions: fold what came")
    with flow.tracker.stage(stage.name) as told:
        began = time.monotonic()
        rows = fold_changes(flow.store, stage, flow.context(stage))
        seconds = time.monotonic() - began
        told.metrics({"rows_changed": rows, "seconds": seconds})
    return seconds


def _refresh(flow: Flow, options: Options, work: Refresh, fold: float) -> Answer:
    began, used, key = time.monotonic(), Usage(flow.spark), work.run_key
    with flow.tracker.stage("refresh") as told:
        with confs(flow.spark, few_rows(flow.config.session.cores)):
            release = refreshing.renew(work)
            flow.progress("publish: compare and swap")
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
        told.metrics({f"concerned_{reason}": count for reason, count in work.why.items()})
    seconds = {done.stage: done.seconds for done in flow.done} | {
        "fold": fold,
        "refresh": work.measured["seconds"],
    }
    cost = costs.tell(flow, release, seconds)
    reporting.follow_release(flow, release)
    broken = canarying.watch(flow)
    flow.notes.warnings.extend(f"the canary was rolled back: {one}" for one in broken)
    flow.tracker.tag({"trackpools.release_id": release.release_id, "trackpools.seq": release.seq})
    advice = advised(flow.config, work.measured)
    flow.notes.warnings.extend(advice)
    return Answer(
        release_id=release.release_id,
        tables=as_tables(list(release.tables)),
        mlflow_run_id=flow.tracker.run_id,
        warnings=flow.notes.warnings,
        lines=_said(
            flow,
            work,
            release,
            cost,
            f"trackpools {'run' if advice else 'watch'} --root {options.root or '…'}",
        ),
        more={
            "refresh": work.number,
            "concerned": work.why,
            "measured": work.measured,
            "full_run_advised": advice,
        },
    )


def _model_days(flow: Flow, release: Release) -> float:
    made = flow.store.commit_at(t.USER_FACTORS.name, release.version(t.USER_FACTORS.name)).metadata
    return (release.as_of - datetime.fromisoformat(made["as_of"])).total_seconds() / DAY_S


def _hot_share(release: Release) -> float:
    """At most: a listener refreshed twice counts twice."""
    return release.rows(t.POOLS_HOT.name) / max(1, release.rows(t.POOLS.name))


def advised(config: Config, measured: dict[str, float]) -> list[str]:
    """Why a full run is due; empty where none is."""
    limits = config.refresh
    asked = {
        "unknown_share": (
            limits.max_unknown_share,
            "of what the listeners concerned like, {:.1%} is of recordings that the model does not know",
        ),
        "hot_share": (
            limits.max_hot_share,
            "{:.1%} of the pools are in the overlay, where readers look in two places",
        ),
        "model_days": (limits.max_model_days, "the model is {:.0f} days old"),
    }
    return [
        f"a full `trackpools run` is advised: {said.format(measured[name])} (refresh.max_{name} is {limit})"
        for name, (limit, said) in asked.items()
        if measured[name] > limit
    ]


def _said(flow: Flow, work: Refresh, release: Release, cost: str, after: str) -> list[Any]:
    measured, everybody = work.measured, release.rows(t.USER_IDS.name)
    buckets = f"{len(work.turn)} of {flow.config.pools.buckets} buckets"
    base, hot = (flow.store.where(table.name) for table in (t.POOLS, t.POOLS_HOT))
    return [
        f"refresh {work.number}: {int(measured['concerned']):,} of {everybody:,} listeners in {measured['seconds']:.1f} s",
        *(f"  {count:,} {REASONS[reason]}" for reason, count in sorted(work.why.items())),
        f"  {measured['bytes_written'] / 2**20:.1f} MiB written: {buckets} → {base}, the others → {hot}",
        f"release {release.seq} ({release.release_id}) published",
        cost,
        f"next: {after}",
    ]
