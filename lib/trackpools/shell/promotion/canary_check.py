"""Judge a canary release by its guardrails, and end the canary if a guardrail does not hold.

A canary is a release that only a share of the users follows, to try it out. A guardrail is a check of this
release against the release in force.
"""

from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.evaluation.promotion_gates import Gate, guardrails
from trackpools.core.serving.channels import CANARY, follows_canary
from trackpools.errors import InputError, ModelError
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.measurement.pool_measures import EvaluationWindow
from trackpools.shell.pipeline.open_flow import open_flow
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.pipeline.sandbox import last_moment
from trackpools.shell.promotion.gated_promotion import heard_later, of_lists
from trackpools.shell.releases import releases
from trackpools.shell.releases.releases import Release


def judge_canary(flow: Flow, force: Release, bird: Release) -> list[Gate]:
    """Evaluate the guardrails on the users who follow the canary.

    The canary's pools of these users are compared with the pools that they have in the release in force. If
    the log continues for at least one day after the `as_of` of both releases, the pools are also compared by
    what these users heard in that time (at most `holdout.days` days).

    Args:
        flow: The flow that runs the check.
        force: The release in force.
        bird: The canary release.

    Returns:
        Each guardrail with its number and whether it holds.
    """
    store, config, follows = (
        flow.store,
        flow.config,
        follows_canary(bird.share or 1.0, flow.config.pools.buckets),
    )
    pools = {
        who: releases.read_pinned(store, of, t.POOLS.name).where(follows)
        for who, of in (("champion", force), ("challenger", bird))
    }
    moment = max(force.as_of, bird.as_of)
    knows = bird if bird.as_of >= force.as_of else force
    days = min(config.holdout.days, (last_moment(store, None) - moment).days)
    past = EvaluationWindow(
        lambda name: releases.read_pinned(store, knows, name), moment, config, (max(1, days),)
    )
    told = of_lists(past, pools) | _fullness(pools)
    return guardrails(
        config.canary, config.promote, told, heard_later(store, past, pools, days)[0] if days >= 1 else None
    )


def _fullness(pools: dict[str, DataFrame]) -> dict[str, float]:
    """Compare how full the pools of `challenger` and `champion` are.

    Returns:
        `fill_ratio`: mean size of the challenger's pools divided by that of the champion's (1 if the
        champion's are empty). `more_short`: share of pools with a shortfall, challenger minus champion.
    """
    size, short = (
        F.avg(F.size("candidates")).alias("size"),
        F.avg(F.col("shortfall").isNotNull().cast("double")).alias("short"),
    )
    found = {who: frame.agg(size, short).first() for who, frame in pools.items()}
    sizes, shorts = (
        {who: float((row[name] if row else None) or 0.0) for who, row in found.items()}
        for name in ("size", "short")
    )
    return {
        "fill_ratio": sizes["challenger"] / sizes["champion"] if sizes["champion"] else 1.0,
        "more_short": shorts["challenger"] - shorts["champion"],
    }


def watch(flow: Flow) -> list[str]:
    """Judge the canary, if there is one now, and end it if a guardrail does not hold.

    Returns:
        One text for each guardrail that does not hold; empty if all hold or there is no canary.
    """
    bird = releases.canary(flow.store)
    if bird is None:
        return []
    force = releases.latest(flow.store)
    flow.progress(f"canary: check the guardrails of release {bird.seq}")
    gates = judge_canary(flow, force, bird)
    flow.tracker.metrics({f"canary_{gate.name}": gate.found for gate in gates})
    broken = [f"{gate.name}: {gate.said}" for gate in gates if not gate.passed]
    if broken:
        end(flow, force)
        flow.tracker.tag(
            {
                "trackpools.canary": f"release {bird.seq} rolled back",
                **{f"trackpools.canary.{gate.name}": gate.said for gate in gates},
            }
        )
    return broken


def end(flow: Flow, force: Release) -> Release:
    """End the canary, so that no reader follows it any more.

    For this, a release with the share 0 and the tables of the release in force is published on the channel
    `canary`. It is returned.
    """
    return releases.again(flow.store, force, datetime.now(UTC), channel=CANARY, share=0.0)


def canary(config: Config, options: Options, *, stop: bool) -> CommandResult:
    """Run the command `trackpools canary`: judge the canary or, with `stop`, end it without judging.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        stop: Whether to end the canary.

    Raises:
        InputError: If there is no canary now.
        ModelError: If a guardrail does not hold; the canary was ended before this error is raised.
    """
    where = f" --root {options.root}" if options.root else ""
    with open_flow(config, options, "canary", 2) as flow:
        bird = releases.canary(flow.store)
        if bird is None:
            raise InputError("there is no canary now; publish one: trackpools run --channel canary")
        if stop:
            row = end(flow, releases.latest(flow.store))
            said = f"canary release {bird.seq} was ended: its {bird.share:.0%} of the buckets read the release in force again"
            return CommandResult(release_id=row.release_id, lines=[said, f"next: trackpools releases{where}"])
        require_guardrails(flow, bird)
        said = f"canary release {bird.seq} passes every guardrail on its {bird.share:.0%} of the buckets"
        return CommandResult(
            release_id=bird.release_id,
            lines=[said, f"next: trackpools promote{where}, or trackpools canary --stop{where}"],
        )


def require_guardrails(flow: Flow, bird: Release) -> None:
    """Judge the canary; if a guardrail does not hold, end the canary and raise an error.

    Args:
        flow: The flow that runs the check.
        bird: The canary release, which the error names.

    Raises:
        ModelError: If a guardrail does not hold; the error lists every such guardrail.
    """
    broken = watch(flow)
    if broken:
        raise ModelError(
            f"canary release {bird.seq} was rolled back: its readers follow the release in force again",
            broken,
        )
