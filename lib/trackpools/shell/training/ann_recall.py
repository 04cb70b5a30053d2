"""Measure how many of the exact top-k recordings the approximate top-k search finds.

Both searches run for small samples of users. Three of the samples hold users for whom the approximate search
loses recall first.
"""

from dataclasses import replace

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.core.sources import als
from trackpools.core.sources.source_inputs import SourceInputs

# Number of users in the sample `overall` and in each other one: enough to distinguish a recall of 0.95 from
# 0.94, and few enough that the measurement takes only some seconds.
OVERALL, HARD = 128, 64


def recall(inputs: SourceInputs) -> dict[str, float]:
    """Measure the recall in four samples of users.

    All samples are drawn from users who have factors:

    - `overall`: from all of them
    - `rarest_market`: users of the market in which the greatest number of recordings is not available
    - `explicit_off`: users who want no explicit recordings
    - `heaviest`: the users with the longest histories

    Returns:
        Name of the sample → recall, the mean over its users. A user's recall is the share of the k new
        recordings of the exact search that the approximate search finds too, where k is `sources.als.k`. A
        sample without users has no entry.
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


def measure_recall(inputs: SourceInputs) -> tuple[dict[str, float], list[str]]:
    """Measure the recall, and return it as metrics `recall_<sample>` with a warning for each low one."""
    found = recall(inputs)
    return {f"recall_{name}": share for name, share in found.items()}, recall_warnings(
        found, inputs.config.topk.min_recall, inputs.config.sources.als.k
    )


def recall_warnings(found: dict[str, float], least: float, k: int) -> list[str]:
    """Return a warning for every sample whose recall is below `least`.

    Args:
        found: name of the sample → recall.
        least: the setting `topk.min_recall`.
        k: the number of recordings that each search returned for a user.
    """
    return [
        f"the approximate search finds a share of {share:.3f} of the exact {k} ({name.replace('_', ' ')}), below topk.min_recall={least}; "
        "increase topk.reach or topk.fetch, or set topk.exact_max above the number of recordings"
        for name, share in found.items()
        if share < least
    ]


def _samples(inputs: SourceInputs) -> dict[str, list[int]]:
    """Return the users of each sample: `heaviest` by length of history, the others by hash of `user_idx`."""
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
    """Return that market of the users in which the greatest number of recordings is not available.

    The result is None if no user's market has track cards.
    """
    refused = F.count_if(~(F.col("available") & F.col("track_id").isNotNull()))
    markets = (
        inputs.cards.join(inputs.users.select("market").distinct(), "market", "left_semi")
        .groupBy("market")
        .agg(refused.alias("refused"))
    )
    first = markets.orderBy(F.desc("refused"), "market").first()
    return None if first is None else str(first["market"])


def _only(inputs: SourceInputs, users: list[int]) -> SourceInputs:
    """Return the inputs with only the given users, their histories and their factors."""

    def of(frame: DataFrame, column: Column) -> DataFrame:
        return frame.where(column.isin(users))

    return replace(
        inputs,
        users=of(inputs.users, F.col("user_idx")),
        history=of(inputs.history, F.col("user_idx")),
        user_factors=of(inputs.user_factors, F.col("idx")),
    )


def _choosing(inputs: SourceInputs, exact_max: int) -> SourceInputs:
    """Return the inputs with another `topk.exact_max`.

    The search is exact up to this number of recordings.
    """
    config = inputs.config
    topk = config.topk.model_copy(update={"exact_max": exact_max})
    return replace(inputs, config=config.model_copy(update={"topk": topk}))


def _new(inputs: SourceInputs) -> dict[int, set[int]]:
    """Run the search, and return user_idx → numbers of the recordings that it finds for the user."""
    found = (
        als.rank_by_factors(inputs, als.BIT, inputs.config.sources.als.k, 0)
        .select("user_idx", "recordings")
        .toArrow()
        .to_pylist()
    )
    return {row["user_idx"]: set(np.frombuffer(row["recordings"], np.int32).tolist()) for row in found}


def _share(exact: set[int], near: set[int]) -> float:
    """Return the share of the exact recordings that the approximate search found; 1 if there are none."""
    return len(exact & near) / len(exact) if exact else 1.0
