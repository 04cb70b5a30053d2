"""How near the approximate top-k of a run is to the exact one: both for a small sample of users, among them those where search breaks first."""

from dataclasses import replace

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.sources import als
from trackpools.core.sources.inputs import SourceInputs

OVERALL, HARD = 128, 64  # users of a sample: enough to tell 0.95 from 0.94, and some seconds


def recall(inputs: SourceInputs) -> dict[str, float]:
    """`overall`, `rarest_market`, `explicit_off` and `heaviest` → share of the exact k new recordings that the index finds; without users no entry.

    The rarest market is the one that may not have the most recordings; the heaviest users are those with the longest history.
    """
    slices = {name: users for name, users in _samples(inputs).items() if users}
    asked = sorted({user for users in slices.values() for user in users})
    if not asked:
        return {}
    some = _only(inputs, asked)
    exact, near = (
        _new(_choosing(some, exact_max)) for exact_max in (2**31 - 1, inputs.config.topk.exact_max)
    )
    return {
        name: float(np.mean([_share(exact.get(user, set()), near.get(user, set())) for user in users]))
        for name, users in slices.items()
    }


def told(inputs: SourceInputs) -> tuple[dict[str, float], list[str]]:
    """How near the index comes to the exact answer, as metrics and warnings."""
    found = recall(inputs)
    return {f"recall_{name}": share for name, share in found.items()}, below(
        found, inputs.config.topk.min_recall, inputs.config.sources.als.k
    )


def below(found: dict[str, float], least: float, k: int) -> list[str]:
    """A warning for every slice below `least`."""
    return [
        f"approximate top-k finds {share:.3f} of the exact {k} ({name.replace('_', ' ')}), below topk.min_recall={least}; "
        "raise topk.reach or topk.fetch, or topk.exact_max above the number of recordings"
        for name, share in found.items()
        if share < least
    ]


def _samples(inputs: SourceInputs) -> dict[str, list[int]]:
    people = inputs.users.join(
        inputs.user_factors.select(F.col("idx").alias("user_idx")), "user_idx", "left_semi"
    )
    met = inputs.history.groupBy("user_idx").count()
    rarest = _rarest_market(inputs)
    drawn = {
        "overall": people.orderBy(F.xxhash64("user_idx"), "user_idx").limit(OVERALL),
        "rarest_market": people.where(F.col("market") == F.lit(rarest))
        .orderBy(F.xxhash64("user_idx"), "user_idx")
        .limit(HARD),
        "explicit_off": people.where("clean").orderBy(F.xxhash64("user_idx"), "user_idx").limit(HARD),
        "heaviest": people.join(met, "user_idx").orderBy(F.desc("count"), "user_idx").limit(HARD),
    }
    return {
        name: [row["user_idx"] for row in frame.select("user_idx").collect()] for name, frame in drawn.items()
    }


def _rarest_market(inputs: SourceInputs) -> str | None:
    refused = F.count_if(~(F.col("available") & F.col("track_id").isNotNull()))
    markets = (
        inputs.cards.join(inputs.users.select("market").distinct(), "market", "left_semi")
        .groupBy("market")
        .agg(refused.alias("refused"))
    )
    first = markets.orderBy(F.desc("refused"), "market").first()
    return None if first is None else str(first["market"])


def _only(inputs: SourceInputs, users: list[int]) -> SourceInputs:
    def of(frame: DataFrame, column: Column) -> DataFrame:
        return frame.where(column.isin(users))

    return replace(
        inputs,
        users=of(inputs.users, F.col("user_idx")),
        history=of(inputs.history, F.col("user_idx")),
        user_factors=of(inputs.user_factors, F.col("idx")),
    )


def _choosing(inputs: SourceInputs, exact_max: int) -> SourceInputs:
    config = inputs.config
    topk = config.topk.model_copy(update={"exact_max": exact_max})
    return replace(inputs, config=config.model_copy(update={"topk": topk}))


def _new(inputs: SourceInputs) -> dict[int, set[int]]:
    found = (
        als.ranked(inputs, als.BIT, inputs.config.sources.als.k, 0)
        .select("user_idx", "recordings")
        .toArrow()
        .to_pylist()
    )
    return {row["user_idx"]: set(np.frombuffer(row["recordings"], np.int32).tolist()) for row in found}


def _share(exact: set[int], near: set[int]) -> float:
    return len(exact & near) / len(exact) if exact else 1.0
