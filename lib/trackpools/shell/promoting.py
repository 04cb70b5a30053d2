"""Challenger against champion: both pools measured on the same listeners by what they then heard, gates, and only then a release."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.core.audience import audience
from trackpools.core.checks import overlap, rights_violations
from trackpools.core.exposure import coverage, exposures
from trackpools.core.pool_metrics import accuracy
from trackpools.core.slices import SLICES
from trackpools.core.verdict import Gate, Paired, gates
from trackpools.errors import InputError, ModelError
from trackpools.shell import releases, reporting
from trackpools.shell.flow import Flow
from trackpools.shell.kept import kept
from trackpools.shell.measuring import ALL, Measure, Past, keep, means, parts_of
from trackpools.shell.side import last_moment
from trackpools.shell.store import Store

CHALLENGER = "challenger"


@dataclass(frozen=True)
class Verdict:
    """Every number of a promotion, and whether it holds."""

    gates: Sequence[Gate]
    measures: Sequence[Measure]
    notes: Sequence[str]

    @property
    def passed(self) -> bool:
        return all(gate.passed for gate in self.gates)


class Refused(ModelError):  # noqa: N818 - a verdict, and nothing that went wrong
    """A challenger that does not hold, with all that was found."""

    def __init__(self, seq: int, verdict: Verdict) -> None:
        self.verdict = verdict
        told = [
            f"{'holds' if gate.passed else 'REFUSED'}  {gate.name}: {gate.said}" for gate in verdict.gates
        ]
        super().__init__(
            f"release {seq} stays in force: the challenger does not hold against it", [*told, *verdict.notes]
        )


def judged(flow: Flow, champion: releases.Release) -> Verdict:
    """The pools in the store against those of the release in force; neither may have seen what they are measured by.

    Raises:
        InputError: where the log does not go on for `holdout.days` after both.
    """
    versions, made = flow.made()
    as_of = datetime.fromisoformat(made["as_of"])
    moment, days = max(as_of, champion.as_of), flow.config.holdout.days
    _long_enough(flow, moment, days)
    store = flow.store
    # what was heard before is told by whichever of the two knows more of it
    knows = versions if as_of >= champion.as_of else {table.name: table.version for table in champion.tables}
    past = Past(lambda name: store.read(name, knows[name]), moment, flow.config, (days,))
    pools = {
        "champion": releases.released(store, champion, "pools"),
        "challenger": store.read("pools", versions["pools"]),
    }
    overall, parts = heard_later(store, past, pools, days)
    return Verdict(*_verdict(flow, past, pools, overall, parts), _notes(as_of, champion.as_of))


def heard_later(
    store: Store, past: Past, pools: dict[str, DataFrame], days: int
) -> tuple[Paired, list[Paired]]:
    """Both pools by what the same listeners heard in so many days after them: everybody, and each slice."""
    with ExitStack() as held:
        plays = store.read(t.PLAYS.name, store.version(t.PLAYS.name)).where(
            F.col("played_at") < F.lit(past.as_of + timedelta(days=days))
        )
        later = held.enter_context(kept(past.later(plays)))
        return compared(
            held.enter_context(kept(_paired(past, pools, later, days))), past.config.promote.level
        )


def _long_enough(flow: Flow, moment: datetime, days: int) -> None:
    ends = last_moment(flow.store, None)
    # a quiet last day is a day
    if ends < moment + timedelta(days=days - 1):
        raise InputError(
            f"both are measured by what is heard in the {days} days (holdout.days) after {moment:%Y-%m-%d %H:%M} UTC, and the log ends {ends:%Y-%m-%d %H:%M}; "
            "wait, lower holdout.days, or make both as of an earlier day (--as-of)"
        )


def _notes(challenger: datetime, champion: datetime) -> list[str]:
    apart = abs((challenger - champion).days)
    older = "champion" if champion < challenger else "challenger"
    return (
        [
            f"the {older} was made {apart} days earlier and knows that much less; make both as of one day to compare settings alone"
        ]
        if apart
        else []
    )


def _paired(past: Past, pools: dict[str, DataFrame], later: DataFrame, days: int) -> DataFrame:
    """`user_idx`, the slices, and `champion, challenger, gain` of the metric, of users with a pool of either; who has none from one found nothing there."""
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


def compared(rows: DataFrame, level: float) -> tuple[Paired, list[Paired]]:
    """Everybody, and each slice."""
    columns = ("champion", "challenger", "gain")
    by = {(one.metric, one.slice): one for one in means(rows, columns, columns, parts_of(rows), level=level)}

    def pair(part: str) -> Paired:
        old, new, gain = (by[name, part] for name in columns)
        return Paired(
            part, gain.users or 0, old.value or 0.0, new.value or 0.0, gain.low or 0.0, gain.high or 0.0
        )

    names = dict.fromkeys(part for _, part in by)
    return pair(ALL), [pair(part) for part in names if part != ALL]


def of_lists(past: Past, pools: Mapping[str, DataFrame]) -> dict[str, float]:
    """What can be said of both without waiting: `coverage_ratio, overlap, rights_violations`."""
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
    flow: Flow, past: Past, pools: dict[str, DataFrame], overall: Paired, parts: Sequence[Paired]
) -> tuple[list[Gate], list[Measure]]:
    told = gates(flow.config.promote, overall, parts, of_lists(past, pools))
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


def tell(flow: Flow, verdict: Verdict) -> None:
    """The verdict into `pool_metrics` and MLflow."""
    run_key = flow.store.commit(t.POOLS.name).metadata["run_key"]
    keep(
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
    """The trained factors in the store as a registered version with the alias `challenger`; None where nothing is tracked or the server is away."""
    versions = flow.pin((t.RECORDING_FACTORS, t.RECORDING_IDS))
    made = str(flow.store.commit(t.RECORDING_FACTORS.name).metadata["run_key"])
    return reporting.registered(flow, CHALLENGER, made, lambda name: flow.store.read(name, versions[name]))
