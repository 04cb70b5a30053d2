"""A canary: is it still to be followed? It ends by itself where a guardrail does not hold."""

from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools import tables as t
from trackpools.config import Config
from trackpools.core.channels import CANARY, follows_canary
from trackpools.core.verdict import Gate, guardrails
from trackpools.errors import InputError, ModelError
from trackpools.shell import releases
from trackpools.shell.command import Answer, Options
from trackpools.shell.flow import Flow
from trackpools.shell.measuring import Past
from trackpools.shell.opening import opened
from trackpools.shell.promoting import heard_later, of_lists
from trackpools.shell.releases import Release
from trackpools.shell.side import last_moment


def judged(flow: Flow, force: Release, bird: Release) -> list[Gate]:
    """The guardrails, on the listeners who follow the canary: its pools against those they would have, and what they then heard where the log tells."""
    store, config, follows = (
        flow.store,
        flow.config,
        follows_canary(bird.share or 1.0, flow.config.pools.buckets),
    )
    pools = {
        who: releases.released(store, of, t.POOLS.name).where(follows)
        for who, of in (("champion", force), ("challenger", bird))
    }
    moment = max(force.as_of, bird.as_of)
    knows = bird if bird.as_of >= force.as_of else force
    days = min(config.holdout.days, (last_moment(store, None) - moment).days)
    past = Past(lambda name: releases.view(store, knows, name), moment, config, (max(1, days),))
    told = of_lists(past, pools) | _fullness(pools)
    return guardrails(
        config.canary, config.promote, told, heard_later(store, past, pools, days)[0] if days >= 1 else None
    )


def _fullness(pools: dict[str, DataFrame]) -> dict[str, float]:
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
    """Judge the canary that is followed now, and end it where a guardrail does not hold.

    Returns:
        What did not hold; empty where all did, or nothing is followed.
    """
    bird = releases.canary(flow.store)
    if bird is None:
        return []
    force = releases.latest(flow.store)
    flow.progress(f"canary: guardrails of release {bird.seq}")
    gates = judged(flow, force, bird)
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
    """Nobody follows a canary any more: a row on its channel with the tables of the release in force."""
    return releases.again(flow.store, force, datetime.now(UTC), channel=CANARY, share=0.0)


def canary(config: Config, options: Options, *, stop: bool) -> Answer:
    """Judge the canary, or end it.

    Raises:
        InputError: where there is none.
        ModelError: where it was rolled back.
    """
    where = f" --root {options.root}" if options.root else ""
    with opened(config, options, "canary", 2) as flow:
        bird = releases.canary(flow.store)
        if bird is None:
            raise InputError("no canary is followed; publish one: trackpools run --channel canary")
        if stop:
            row = end(flow, releases.latest(flow.store))
            said = f"release {bird.seq} has ended: its {bird.share:.0%} of the buckets read the release in force again"
            return Answer(release_id=row.release_id, lines=[said, f"next: trackpools releases{where}"])
        require_kept(flow, bird)
        said = f"release {bird.seq} holds on its {bird.share:.0%} of the buckets"
        return Answer(
            release_id=bird.release_id,
            lines=[said, f"next: trackpools promote{where}, or trackpools canary --stop{where}"],
        )


def require_kept(flow: Flow, bird: Release) -> None:
    """Judge, and say it as an error where the canary was rolled back.

    Raises:
        ModelError: with every guardrail that does not hold.
    """
    broken = watch(flow)
    if broken:
        raise ModelError(
            f"canary release {bird.seq} was rolled back: its readers follow the release in force again",
            broken,
        )
