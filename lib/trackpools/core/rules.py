"""Rules in fixed order; the first that binds is the reason a candidate is dropped, the last reason is `below_cut`."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import RulesConfig, WeightsConfig
from trackpools.core.weights import positive_weight

# position is the bit in `flags` and so the order; a new rule is a name here and a column in `flags`
RULES = ("taken_down", "rights", "explicit", "blocked", "heard", "below_cut")
BELOW_CUT = len(RULES) - 1
BARS = RULES[:3]  # what a market bars, whoever listens
UNKNOWN = 2 ** len(BARS) - 1  # no card: all of them bind
EXPLICIT = 1 << RULES.index("explicit")
HEARD, BLOCKED, REFUSED = 1, 2, 4  # bits of a history, see `history`
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
SHORT_MAX = 2**15 - 1


def is_heard() -> Column:
    """Met as a listener: a timed play, a counted one or a rating; an act such as a like alone is not."""
    return (F.col("plays") > 0) | (F.col("counted") > 0) | F.col("rated").isNotNull()


def history(interactions: DataFrame, *, heard: str, rules: RulesConfig, weights: WeightsConfig, as_of: datetime) -> DataFrame:
    """What the rules need to know of user × recording.

    Returns:
        `user_idx, recording_idx, plays short, first_day, last_day int (days since 1970), weight float (w⁺), heard, blocked, refused boolean`;
        refused is the verdict of the heard policy on a recording that was heard.
    """
    recently = F.coalesce(F.datediff(F.lit(as_of.date()), F.col("last_day")) < rules.heard_days, F.lit(True))
    refused = {"mark": F.lit(False), "only": F.lit(False), "exclude": F.lit(True), "not_within": recently}[heard]
    disliked = F.lit(rules.block_disliked) & (F.col("likes") < 0)
    return interactions.select(
        "user_idx", "recording_idx",
        F.least(F.col("plays") + F.col("counted"), F.lit(SHORT_MAX)).cast("short").alias("plays"),
        F.unix_date("first_day").alias("first_day"), F.unix_date("last_day").alias("last_day"), positive_weight(as_of, weights).cast("float").alias("weight"),
        is_heard().alias("heard"), (F.col("blocked") | disliked).alias("blocked"), (is_heard() & refused).alias("refused"),
    )


def history_bits() -> Column:
    """HEARD, BLOCKED and REFUSED of a row of `history`, as a byte."""
    heard, blocked, refused = (F.when(F.col(name), bit).otherwise(0) for name, bit in (("heard", HEARD), ("blocked", BLOCKED), ("refused", REFUSED)))
    return (heard + blocked + refused).cast("byte")


def bars() -> Column:
    """Bitmap int of what bars a card from everybody in its market, bits as in RULES; `explicit` for who wants clean tracks only."""
    bound = {"taken_down": ~F.col("available"), "rights": F.col("track_id").isNull(), "explicit": F.col("clean_track_id").isNull()}
    bits = [F.when(bound[name], 1 << RULES.index(name)).otherwise(0) for name in BARS]
    return sum(bits[1:], bits[0])


def barred_first() -> list[Column]:
    """By rule, whether it is the first that bars a card."""
    lowest = bars().bitwiseAND(-bars())
    return [(lowest == (1 << bit)) if name in BARS else F.lit(False) for bit, name in enumerate(RULES)]


def flags(barred: Bytes, clean: Flags, past: Bytes, *, heard: str) -> NDArray[np.int64]:
    """Bitmap of the rules that bind, for each candidate.

    A rule that needs what is unknown binds: a candidate without a card in the market has no rights there.

    Args:
        barred: `bars` of the candidate's card, or UNKNOWN.
        clean: whether the user wants clean tracks only.
        past: HEARD, BLOCKED and REFUSED of user × recording; 0 where they never met.
        heard: the heard policy; under `only` what was never heard is refused.
    """
    bits: NDArray[np.int64] = barred.astype(np.int64)
    bits[~clean] &= ~(1 << RULES.index("explicit"))
    refused = (past & REFUSED > 0) | ((past & HEARD == 0) if heard == "only" else False)
    bits[past & BLOCKED > 0] |= 1 << RULES.index("blocked")
    bits[refused] |= 1 << RULES.index("heard")
    return bits
