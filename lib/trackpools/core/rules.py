"""Rules in fixed order; the first that binds is the reason a candidate is dropped, the last reason is `below_cut`."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import RulesConfig, WeightsConfig
from trackpools.core.shelf import FUNCTIONAL, INFLATED, KNOWN, Shelf
from trackpools.core.weights import positive_weight

# position is the bit in `flags` and so the order, which is published. `flags` binds those before `duplicate`; the rest depends on what else
# a user is offered, and the blend binds it
RULES = (
    "taken_down",
    "rights",
    "explicit",
    "blocked",
    "heard",
    "request",
    "few_listeners",
    "bot_inflated",
    "functional",
    "duplicate",
    "artist_cap",
    "album_cap",
    "below_cut",
)
BIT = {name: 1 << bit for bit, name in enumerate(RULES)}
BELOW_CUT = len(RULES) - 1
BARS = RULES[:3]  # what a market bars, whoever listens
UNKNOWN = 2 ** len(BARS) - 1  # no card: all of them bind
HEARD, BLOCKED, REFUSED = 1, 2, 4  # bits of a history, see `history`
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Longs = NDArray[np.int64]
SHORT_MAX = 2**15 - 1


class Standards(NamedTuple):
    """What a recording must be to be offered at all.

    Attributes:
        min_listeners: fewer are too few, unless it was released after the day `new_after` (days since 1970) or the listener has heard it.
        functional: whether audio that is no taste may pass.
    """

    min_listeners: int
    new_after: int
    functional: bool

    @staticmethod
    def of(rules: RulesConfig, as_of: datetime) -> "Standards":
        newest = as_of.date() - timedelta(days=rules.new_days) - date(1970, 1, 1)
        return Standards(rules.min_listeners, newest.days, rules.functional == "allow")


def is_heard() -> Column:
    """Met as a listener: a timed play, a counted one or a rating; an act such as a like alone is not."""
    return (F.col("plays") > 0) | (F.col("counted") > 0) | F.col("rated").isNotNull()


def history(
    interactions: DataFrame, *, heard: str, rules: RulesConfig, weights: WeightsConfig, as_of: datetime
) -> DataFrame:
    """What the rules and the blend need to know of user × recording.

    Returns:
        `user_idx, recording_idx, plays short, first_day, last_day int (days since 1970), weight float (w⁺ at as_of), heard, blocked,
        refused boolean`; refused is the verdict of the heard policy on a recording that was heard.
    """
    recently = F.coalesce(F.datediff(F.lit(as_of.date()), F.col("last_day")) < rules.heard_days, F.lit(True))
    refused = {"mark": F.lit(False), "only": F.lit(False), "exclude": F.lit(True), "not_within": recently}[
        heard
    ]
    disliked = F.lit(rules.block_disliked) & (F.col("likes") < 0)
    return interactions.select(
        "user_idx",
        "recording_idx",
        F.least(F.col("plays") + F.col("counted"), F.lit(SHORT_MAX)).cast("short").alias("plays"),
        F.unix_date("first_day").alias("first_day"),
        F.unix_date("last_day").alias("last_day"),
        positive_weight(as_of, weights).cast("float").alias("weight"),
        is_heard().alias("heard"),
        (F.col("blocked") | disliked).alias("blocked"),
        (is_heard() & refused).alias("refused"),
    )


def history_bits() -> Column:
    """HEARD, BLOCKED and REFUSED of a row of `history`, as a byte."""
    heard, blocked, refused = (
        F.when(F.col(name), bit).otherwise(0)
        for name, bit in (("heard", HEARD), ("blocked", BLOCKED), ("refused", REFUSED))
    )
    return (heard + blocked + refused).cast("byte")


def bars() -> Column:
    """Bitmap int of what bars a card from everybody in its market, bits as in RULES; `explicit` for who wants clean tracks only."""
    bound = {
        "taken_down": ~F.col("available"),
        "rights": F.col("track_id").isNull(),
        "explicit": F.col("clean_track_id").isNull(),
    }
    bits = [F.when(bound[name], 1 << RULES.index(name)).otherwise(0) for name in BARS]
    return sum(bits[1:], bits[0])


def barred_first() -> list[Column]:
    """By rule, whether it is the first that bars a card."""
    lowest = bars().bitwiseAND(-bars())
    return [(lowest == (1 << bit)) if name in BARS else F.lit(False) for bit, name in enumerate(RULES)]


def flags(
    barred: Bytes, clean: Flags, past: Bytes, below: Longs, *, heard: str, unasked: Flags | None = None
) -> Longs:
    """Bitmap of the rules that bind, for each candidate.

    A rule that needs what is unknown binds: a candidate without a card in the market has no rights there.

    Args:
        barred: `bars` of the candidate's card, or UNKNOWN.
        clean: whether the user wants clean tracks only.
        past: HEARD, BLOCKED and REFUSED of user × recording; 0 where they never met.
        below: of `below_standard`.
        heard: the heard policy; under `only` what was never heard is refused.
        unasked: on demand, what a constraint of the request rules out.
    """
    bits = barred.astype(np.int64) | below
    bits[~clean] &= ~BIT["explicit"]
    refused = (past & REFUSED > 0) | ((past & HEARD == 0) if heard == "only" else False)
    bits[past & BLOCKED > 0] |= BIT["blocked"]
    bits[refused] |= BIT["heard"]
    if unasked is not None:
        bits[unasked] |= BIT["request"]
    return bits


def below_standard(shelf: Shelf, recordings: Longs, past: Bytes, standards: Standards) -> Longs:
    """Bitmap of the rules that the facts of recordings bind, for each candidate; none for one that is not on the shelf."""
    found = np.zeros(len(recordings), np.int64)
    on = np.flatnonzero(recordings < len(shelf))
    marks = shelf.marks[recordings[on]]
    on, marks = on[marks & KNOWN > 0], marks[marks & KNOWN > 0]
    one = recordings[on]
    few = (
        (shelf.listeners[one] < standards.min_listeners)
        & (past[on] & HEARD == 0)
        & (shelf.released[one] <= standards.new_after)
    )
    found[on] = few * BIT["few_listeners"] | (marks & INFLATED > 0) * BIT["bot_inflated"]
    if not standards.functional:
        found[on] |= (marks & FUNCTIONAL > 0) * BIT["functional"]
    return found
