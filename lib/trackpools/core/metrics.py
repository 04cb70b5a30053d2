"""What a ranked list is worth to a user, as column expressions over the places of its hits; no UDF, no join a rank.

With h₁ < h₂ < … the ranks (from 1) of a user's hits and R how many recordings are relevant, at a cut k:

- recall  |{h ≤ k}| / R; `capped` divides by min(k, R), as for Liang et al. 2018 (Mult-VAE), so that a full list of hits is 1
- precision  |{h ≤ k}| / k
- hr  1 where any h ≤ k
- mrr  1 / h₁ where h₁ ≤ k, else 0
- ndcg  Σ_{h ≤ k} 1 / log₂(h + 1), over the same sum for ranks 1 … min(k, R) (Järvelin & Kekäläinen 2002, binary gains)
- map  Σ_{i: hᵢ ≤ k} i / hᵢ, over R (as trec_eval and ir-measures), or over min(k, R) where `capped`

A user with nothing relevant has no value: null.
"""

import math
import re
from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.errors import ConfigError

NAMES = ("recall", "precision", "hr", "mrr", "ndcg", "map")
LARGEST = 100_000  # k


def hits(ranked: Column, relevant: Column) -> Column:
    """Ranks from 1 of what is relevant, ascending: `array<long>` of two columns `array<int>` without repeats; a null list has no hits."""
    none = F.array().cast("array<int>")
    both = F.array_intersect(F.coalesce(ranked, none), relevant)
    return F.array_sort(F.transform(both, lambda recording: F.array_position(ranked, recording)))


def parse(name: str) -> tuple[str, int]:
    """`ndcg@20` → ("ndcg", 20).

    Raises:
        ConfigError: where there is no such metric, or k is no whole number of 1 to 100,000.
    """
    found = re.fullmatch(r"([a-z]+)@([0-9]{1,6})", name)
    if found is None or found[1] not in NAMES or not 1 <= int(found[2]) <= LARGEST:
        raise ConfigError(
            f"no metric is called {name!r:.40}; known: {', '.join(f'{one}@k' for one in NAMES)}, with k of 1 to {LARGEST:,}"
        )
    return found[1], int(found[2])


def metric(name: str, ranks: Column, relevant: Column, *, capped: bool = False) -> Column:
    """The value of one user, double.

    Args:
        name: such as `ndcg@20`, see `parse`.
        ranks: of `hits`.
        relevant: how many recordings are relevant to the user.
        capped: see above.
    """
    kind, k = parse(name)
    within = F.filter(ranks, lambda rank: rank <= k)
    count = F.size(within)
    most = F.least(relevant, F.lit(k))
    whole = most if capped else relevant
    values: dict[str, Callable[[], Column]] = {
        "recall": lambda: count / whole,
        "precision": lambda: count / F.lit(k),
        "hr": lambda: (count > 0).cast("double"),
        "mrr": lambda: F.coalesce(1.0 / F.get(within, F.lit(0)), F.lit(0.0)),
        "ndcg": lambda: (
            F.aggregate(within, F.lit(0.0), lambda total, rank: total + 1.0 / F.log2(rank + 1.0))
            / ideal(k, most)
        ),
        "map": lambda: (
            F.aggregate(
                F.transform(within, lambda rank, i: (i + 1.0) / rank), F.lit(0.0), lambda total, x: total + x
            )
            / whole
        ),
    }
    return F.when(relevant > 0, values[kind]())


def ideal(k: int, most: Column) -> Column:
    """Σ 1 / log₂(rank + 1) over the ranks 1 to `most`, which is k at most; null for a `most` of 0."""
    sums, total = [], 0.0
    for rank in range(1, k + 1):
        total += 1 / math.log2(rank + 1)
        sums.append(total)
    return F.get(F.lit(sums), most - 1)


def all_metrics(
    names: Sequence[str], ranks: Column, relevant: Column, *, capped: bool = False
) -> list[Column]:
    """Each metric under its own name."""
    return [metric(name, ranks, relevant, capped=capped).alias(name) for name in names]
