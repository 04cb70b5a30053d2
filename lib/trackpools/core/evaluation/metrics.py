"""Ranking metrics of one user's list, as Spark column expressions over the ranks of its hits.

The expressions need neither a UDF nor a join for each rank. A hit is a recording of the list that is relevant
to the user. Let h₁ < h₂ < … be the ranks (from 1) of a user's hits, R the number of recordings relevant to
the user, and k the cut (only the first k places of the list count):

- recall  |{h ≤ k}| / R; with `capped`, the divisor is min(k, R), as in Liang et al. 2018 (Mult-VAE), so that
  a list full of hits scores 1
- precision  |{h ≤ k}| / k
- hr (hit rate)  1 if any h ≤ k, else 0
- mrr (reciprocal rank)  1 / h₁ if h₁ ≤ k, else 0
- ndcg  Σ_{h ≤ k} 1 / log₂(h + 1), divided by the same sum over the ranks 1 … min(k, R) (Järvelin & Kekäläinen
  2002, binary gains)
- map (average precision)  Σ_{i: hᵢ ≤ k} i / hᵢ, divided by R (as in trec_eval and ir-measures), or by min(k,
  R) with `capped`

For a user without relevant recordings, every metric is null.
"""

import math
import re
from collections.abc import Callable, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from trackpools.errors import ConfigError

NAMES = ("recall", "precision", "hr", "mrr", "ndcg", "map")
LARGEST = 100_000  # the largest k allowed


def hits(ranked: Column, relevant: Column) -> Column:
    """Return the ranks (from 1) of the relevant recordings in a ranked list, ascending.

    Args:
        ranked: `array<int>`, the ranked recordings without repeats, best first; a null list has no hits.
        relevant: `array<int>`, the relevant recordings without repeats.

    Returns:
        A column `array<long>`.
    """
    none = F.array().cast("array<int>")
    both = F.array_intersect(F.coalesce(ranked, none), relevant)
    return F.array_sort(F.transform(both, lambda recording: F.array_position(ranked, recording)))


def parse_metric(name: str) -> tuple[str, int]:
    """Split a metric name into its kind and its cut: `ndcg@20` → ("ndcg", 20).

    Raises:
        ConfigError: if there is no such metric, or k is not a whole number from 1 to 100,000.
    """
    found = re.fullmatch(r"([a-z]+)@([0-9]{1,6})", name)
    if found is None or found[1] not in NAMES or not 1 <= int(found[2]) <= LARGEST:
        raise ConfigError(
            f"there is no metric {name!r:.40}; the metrics are {', '.join(f'{one}@k' for one in NAMES)}, with k from 1 to {LARGEST:,}"
        )
    return found[1], int(found[2])


def metric(name: str, ranks: Column, relevant: Column, *, capped: bool = False) -> Column:
    """Return one metric of each user as a column of doubles; null if nothing is relevant to the user.

    Args:
        name: name of the metric, such as `ndcg@20`; see `parse_metric`.
        ranks: ranks of the hits, as `hits` returns them.
        relevant: number of recordings that are relevant to the user.
        capped: whether recall and map divide by min(k, R) instead of R; see the module docstring.

    Raises:
        ConfigError: if `parse_metric` refuses the name.
    """
    kind, k = parse_metric(name)
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
            / ideal_dcg(k, most)
        ),
        "map": lambda: (
            F.aggregate(
                F.transform(within, lambda rank, i: (i + 1.0) / rank), F.lit(0.0), lambda total, x: total + x
            )
            / whole
        ),
    }
    return F.when(relevant > 0, values[kind]())


def ideal_dcg(k: int, n_relevant: Column) -> Column:
    """Return the best possible DCG: Σ 1 / log₂(rank + 1) over the ranks 1 to `n_relevant`.

    Args:
        k: the cut.
        n_relevant: number of relevant recordings, at most k; if it is 0, the result is null.
    """
    sums, total = [], 0.0
    for rank in range(1, k + 1):
        total += 1 / math.log2(rank + 1)
        sums.append(total)
    return F.get(F.lit(sums), n_relevant - 1)


def all_metrics(
    names: Sequence[str], ranks: Column, relevant: Column, *, capped: bool = False
) -> list[Column]:
    """Return one column for each metric, with the metric's name; the arguments are those of `metric`."""
    return [metric(name, ranks, relevant, capped=capped).alias(name) for name in names]
