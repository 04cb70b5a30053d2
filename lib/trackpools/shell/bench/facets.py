"""What MMR, calibration and facet floors give, and what recall they cost: on the fixed world of `bench quality`.

A prompt such as "calm songs of the seventies that I know" asks for a cell of decade × tempo × tag group × familiarity, each of them or any, in the
listener's market. A pool satisfies a cell with 20 tracks of it.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.shell.bench import Measured, Ratio, Size
from trackpools.shell.bench.quality import PLAIN, frozen
from trackpools.shell.bench.trial import Trial, trial
from trackpools.shell.flow import Flow

ENOUGH = 20
FACETS = ("decade", "tempo_band", "tag_group", "heard")
CURVE = (0.05, 0.1, 0.2, 0.4)


def measure(config: Config, size: Size, rounds: int, tell: Callable[[str], None]) -> Measured:  # noqa: ARG001 - the answer is exact
    """Cells satisfied with floors ÷ without, and recall@500 of all that was heard later with ÷ without; then curves."""
    own = config.pools
    asked, kept = Ratio("cells satisfied, floors ÷ none", 1.5), Ratio("recall@500, floors ÷ none", 0.97)
    found = Measured([asked, kept])
    with frozen(config, size, tell) as flow, trial(flow, "mark") as one:
        facts = facts_of(flow, one)

        def told(name: str, **settings: Any) -> tuple[float, float]:
            tell(name)
            pools = one.pools(one.proposed, **(PLAIN | settings))
            recall, cells = float(one.recall(pools).mean()), satisfied(pools, facts)
            found.note(f"{name}: recall@500", recall)
            found.note(f"{name}: cells satisfied a pool", cells)
            return recall, cells

        told("plain")
        for name, value in itertools.product(("mmr", "calibration"), CURVE):
            told(f"{name} {value}", **{name: value})
        set_ = {"mmr": own.mmr, "calibration": own.calibration}
        recall, cells = told("as configured, no floors", **set_)
        floored, more = told("as configured", floor=own.floor, **set_)
        asked.values.append(more / cells)
        kept.values.append(floored / recall)
    return found


def facts_of(flow: Flow, one: Trial) -> tuple[DataFrame, DataFrame]:
    """Facets of recordings, null where unknown, and `user_idx, recording_idx, heard` of what users have heard."""
    facts = flow.store.read("recording_facts").select("recording_idx", *FACETS[:3])
    heard = one.inputs.history.where("heard").select("user_idx", "recording_idx", F.lit(1).alias("heard"))
    return facts, heard


def satisfied(pools: DataFrame, facts: tuple[DataFrame, DataFrame]) -> float:
    """Mean over pools of how many cells hold 20 of their tracks."""
    known, heard = facts
    rows = pools.join(known, "recording_idx").join(heard, ["user_idx", "recording_idx"], "left").fillna({"heard": 0}).toArrow()
    user = rows["user_idx"].to_numpy().astype(np.int64)
    values = [numbered(rows[name].to_numpy(zero_copy_only=False)) for name in FACETS]
    total = 0
    for subset in itertools.product((False, True), repeat=len(FACETS)):
        if any(subset):
            total += full(user, [value for value, used in zip(values, subset, strict=True) if used])
    return total / len(np.unique(user))


def numbered(values: Any) -> NDArray[np.int64]:
    """From 1; 0 is unknown."""
    known = ~np.isnan(values.astype(float))
    made = np.zeros(len(values), np.int64)
    made[known] = np.unique(values[known], return_inverse=True)[1] + 1
    return made


def full(user: NDArray[np.int64], values: list[NDArray[np.int64]]) -> int:
    """How many cells of any user hold enough; what is unknown lies in none."""
    code, known = user.copy(), np.ones(len(user), bool)
    for value in values:
        code, known = code * 256 + value, known & (value > 0)
    return int((np.unique(code[known], return_counts=True)[1] >= ENOUGH).sum())
