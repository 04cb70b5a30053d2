"""Decide whether a challenger may replace the release in force (the champion).

The challenger is the newest content of the tables in the store, which is not published yet. The pools of both
are measured on the same users, by what these users heard afterwards. Gates, which are checks of these
numbers, then decide whether the challenger may be published.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.contracts.table_checks import overlap, rights_violations
from trackpools.core.evaluation.exposure import coverage, exposures
from trackpools.core.evaluation.pool_metrics import accuracy
from trackpools.core.evaluation.promotion_gates import Gate, PairedMetric, evaluate_gates
from trackpools.core.evaluation.slices import SLICES
from trackpools.core.log.audience import audience
from trackpools.errors import InputError, ModelError
from trackpools.shell.measurement.pool_measures import (
    ALL,
    EvaluationWindow,
    Measure,
    means,
    parts_of,
    save_measures,
)
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.pipeline.sandbox import last_moment
from trackpools.shell.releases import releases
from trackpools.shell.reports import publish_report
from trackpools.shell.spark.persisted import persisted
from trackpools.shell.store.store import Store

CHALLENGER = "challenger"


@dataclass(frozen=True)
class Verdict:
    """The result of comparing a challenger with the champion.

    Attributes:
        gates: Every gate, with its number and whether it passed.
        measures: The metric in total and in each slice of users, and the number of each gate, as rows of
            `pool_metrics`.
        notes: Remarks on differences that make the comparison less fair.
    """

    gates: Sequence[Gate]
    measures: Sequence[Measure]
    notes: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return all(gate.passed for gate in self.gates)


class Refused(ModelError):  # noqa: N818 - this is a verdict, not a failure
    """A challenger did not pass all gates.

    Attributes:
        verdict: The result of the comparison.
    """

    def __init__(self, seq: int, verdict: Verdict) -> None:
        self.verdict = verdict
        told = [
            f"{'holds' if gate.passed else 'REFUSED'}  {gate.name}: {gate.said}" for gate in verdict.gates
        ]
        super().__init__(
            f"release {seq} stays in force: the challenger did not pass every gate", [*told, *verdict.notes]
        )


def judge_challenger(flow: Flow, champion: releases.Release) -> Verdict:
    """Compare the pools in the store (the challenger) with those of the release in force (the champion).

    Both are measured by the plays of the `holdout.days` days after the later of their two `as_of`. So neither
    was trained on these plays.

    Raises:
        ContractError: If a table of the release in force is damaged.
        InputError: If the log does not reach the last of these days.
    """
    versions, made = flow.release_inputs()
    as_of = datetime.fromisoformat(made["as_of"])
    moment, days = max(as_of, champion.as_of), flow.config.holdout.days
    _long_enough(flow, moment, days)
    store = flow.store
    releases.require_undamaged(store, champion)
    # The one with the later `as_of` knows more plays, so its tables say what a user had heard before.
    knows = versions if as_of >= champion.as_of else {table.name: table.version for table in champion.tables}
    past = EvaluationWindow(lambda name: store.read(name, knows[name]), moment, flow.config, (days,))
    pools = {
        "champion": releases.read_pinned(store, champion, "pools"),
        "challenger": store.read("pools", versions["pools"]),
    }
    overall, parts = heard_later(store, past, pools, days)
    return Verdict(*_verdict(flow, past, pools, overall, parts), _notes(as_of, champion.as_of))


def heard_later(
    store: Store, past: EvaluationWindow, pools: dict[str, DataFrame], days: int
) -> tuple[PairedMetric, list[PairedMetric]]:
    """Measure both pools by what the same users heard in the `days` days after `past.as_of`.

    Args:
        store: The store that holds the log.
        past: What was known at the beginning of these days.
        pools: `champion` and `challenger` → frame of pools.
        days: Length of the period in days.

    Returns:
        The metric `promote.metric` over all users, and the same metric in each slice of users.
    """
    with ExitStack() as held:
        plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(
            F.col("played_at") < F.lit(past.as_of + timedelta(days=days))
        )
        later = held.enter_context(persisted(past.later(plays)))
        return compare_by_slice(
            held.enter_context(persisted(_paired(past, pools, later, days))), past.config.promote.level
        )


def _long_enough(flow: Flow, moment: datetime, days: int) -> None:
    """Raise an InputError if the log does not cover the `days` days after `moment`."""
    ends = last_moment(flow.store, None)
    # The log may end up to one day before the end of the period, because that day may be without plays.
    if ends < moment + timedelta(days=days - 1):
        raise InputError(
            f"champion and challenger are measured by the plays of the {days} days (holdout.days) after {moment:%Y-%m-%d %H:%M} UTC, "
            f"but the log ends at {ends:%Y-%m-%d %H:%M}; "
            "wait, lower holdout.days, or build both as of an earlier day (--as-of)"
        )


def _notes(challenger: datetime, champion: datetime) -> list[str]:
    """Return a remark if the two `as_of` are at least one day apart."""
    apart = abs((challenger - champion).days)
    older = "champion" if champion < challenger else "challenger"
    return (
        [
            f"the {older} was built as of {apart} days earlier, from less data; build both as of the same day to compare only the settings"
        ]
        if apart
        else []
    )


def _paired(past: EvaluationWindow, pools: dict[str, DataFrame], later: DataFrame, days: int) -> DataFrame:
    """Return the metric of both pools for each user who can be measured.

    These are the users who have a pool of the champion or the challenger, and who heard something that the
    metric counts. If a user has only one of the two pools, the metric of the other is 0.

    Returns:
        One row for each user: `user_idx`, `champion`, `challenger`, `gain` (challenger − champion), and the
        slices.
    """
    kind, cut = past.config.promote.metric.split("_", 1)
    name = f"{kind}_{days}d_{cut}"
    both = later.join(
        pools["champion"].select("user_idx").union(pools["challenger"].select("user_idx")).distinct(),
        "user_idx",
        "left_semi",
    )
    found = [
        accuracy(frame, both, (days,), {}).select("user_idx", F.col(f"`{name}`").alias(who))
        for who, frame in pools.items()
    ]
    told = (
        found[0]
        .join(found[1], "user_idx")
        .where("champion IS NOT NULL")
        .withColumn("gain", F.col("challenger") - F.col("champion"))
    )
    return told.join(past.slices(), "user_idx", "left").select(
        "user_idx", "champion", "challenger", "gain", *SLICES
    )


def compare_by_slice(rows: DataFrame, level: float) -> tuple[PairedMetric, list[PairedMetric]]:
    """Return the metric over all users and in each slice, with the confidence interval of the gain.

    Args:
        rows: One row for each user: `user_idx`, `champion`, `challenger`, `gain`, and the slices.
        level: Confidence level of the intervals.

    Returns:
        The metric over all users, and a list with the metric in each slice.
    """
    columns = ("champion", "challenger", "gain")
    by = {(one.metric, one.slice): one for one in means(rows, columns, columns, parts_of(rows), level=level)}

    def pair(part: str) -> PairedMetric:
        old, new, gain = (by[name, part] for name in columns)
        return PairedMetric(
            part, gain.users or 0, old.value or 0.0, new.value or 0.0, gain.low or 0.0, gain.high or 0.0
        )

    names = dict.fromkeys(part for _, part in by)
    return pair(ALL), [pair(part) for part in names if part != ALL]


def of_lists(past: EvaluationWindow, pools: Mapping[str, DataFrame]) -> dict[str, float]:
    """Compute the numbers that need no plays after the pools were built.

    Args:
        past: What was known when the pools were built.
        pools: `champion` and `challenger` → frame of pools.

    Returns:
        `coverage_ratio`: the share of recordings that the challenger's pools offer, divided by the same share
        of the champion. `overlap`: mean share of a user's champion pool that is also in the challenger's
        pool. `rights_violations`: how many recordings the challenger offers where they may not be played, see
        `table_checks.rights_violations`.
    """
    config, catalogue = past.config, past.read("recording_features").count()
    covered = {
        who: coverage(
            [(row["pools"], row["recordings"]) for row in exposures(past.sampled(frame)).collect()], catalogue
        )
        for who, frame in pools.items()
    }
    everybody = audience(
        past.read("user_ids"), past.read("users"), config.cards.market_groups, config.taste.minor_bands
    )
    broken = rights_violations(pools["challenger"], everybody, past.read("track_cards")).first()
    same = overlap(pools["champion"], pools["challenger"]).first()
    assert broken is not None and same is not None  # noqa: S101, PT018 - an aggregate has one row
    return {
        "coverage_ratio": covered["challenger"] / covered["champion"] if covered["champion"] else 1.0,
        "overlap": float(same["overlap"] or 0.0),
        "rights_violations": float(broken["violations"]),
    }


def _verdict(
    flow: Flow,
    past: EvaluationWindow,
    pools: dict[str, DataFrame],
    overall: PairedMetric,
    parts: Sequence[PairedMetric],
) -> tuple[list[Gate], list[Measure]]:
    told = evaluate_gates(flow.config.promote, overall, parts, of_lists(past, pools))
    name = flow.config.promote.metric
    measures = [
        one
        for part in (overall, *parts)
        for one in (
            Measure(name, part.slice, part.challenger, users=part.users),
            Measure(f"champion:{name}", part.slice, part.champion, users=part.users),
            Measure(
                f"gain:{name}", part.slice, part.challenger - part.champion, part.low, part.high, part.users
            ),
        )
    ]
    return told, measures + [
        Measure(f"gate:{gate.name}", "passed" if gate.passed else "refused", gate.found) for gate in told
    ]


def record_verdict(flow: Flow, verdict: Verdict) -> None:
    """Write the verdict to the table `pool_metrics` and to MLflow."""
    run_key = flow.store.commit(t.POOLS.name).metadata["run_key"]
    save_measures(
        flow.store,
        flow.tracker,
        verdict.measures,
        run_key,
        datetime.fromisoformat(flow.store.commit(t.POOLS.name).metadata["as_of"]),
    )
    flow.tracker.tag(
        {"trackpools.verdict": "promoted" if verdict.passed else "refused"}
        | {f"trackpools.gate.{g.name}": g.said for g in verdict.gates}
    )


def register_challenger(flow: Flow) -> str | None:
    """Register the model whose factors are in the store, and point the alias `challenger` at it.

    Returns:
        The registered version. None if tracking is off, the server cannot be reached, or the model is larger
        than `mlflow.max_model_mb`.
    """
    versions = flow.pin_versions((t.RECORDING_FACTORS, t.RECORDING_IDS))
    made = str(flow.store.commit(t.RECORDING_FACTORS.name).metadata["run_key"])
    return publish_report.register_model(
        flow, CHALLENGER, made, lambda name: flow.store.read(name, versions[name])
    )
