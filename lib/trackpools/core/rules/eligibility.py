"""The rules that drop candidates, in their fixed order.

A rule *binds* for a candidate that it forbids. If several rules bind, the candidate is dropped under the
first of them. The last rule, `below_cut`, drops the candidates for which no other rule binds, but for which
the pool has no room.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import RulesConfig, WeightsConfig
from trackpools.core.arrays.array_types import BoolArray, Int64Array, Uint8Array
from trackpools.core.arrays.recording_table import FUNCTIONAL, HAS_FACTS, INFLATED, RecordingTable
from trackpools.core.log.confidence import positive_weight

# The position of a rule is its bit in `rule_flags` and its place in the order; the order is published.
# `rule_flags` checks the rules before `duplicate`. From `duplicate` on, a rule depends on what else is
# proposed to the user, so the blend checks it.
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
MARKET_RULES = RULES[:3]  # rules that depend on the card of the market, not on the user's history
NO_CARD = 2 ** len(MARKET_RULES) - 1  # bits of a recording without a card in the market: all three rules bind
HEARD, BLOCKED, REFUSED = 1, 2, 4  # bits of `history_bits`
SHORT_MAX = 2**15 - 1


class Standards(NamedTuple):
    """What the configuration demands of a recording, so that it may be in a pool.

    Attributes:
        min_listeners: a recording with fewer listeners is refused, unless it is new or the user has heard it.
        new_after: a recording is new if it was released after this day (days since 1970); a recording whose
            day of release is unknown is not new.
        functional: whether non-taste audio may be offered.
    """

    min_listeners: int
    new_after: int
    functional: bool

    @staticmethod
    def of(rules: RulesConfig, as_of: datetime) -> "Standards":
        """Return the standards of the configuration.

        A recording is new if it was released less than `rules.new_days` days before the day of `as_of`.
        """
        newest = as_of.date() - timedelta(days=rules.new_days) - date(1970, 1, 1)
        return Standards(rules.min_listeners, newest.days, rules.functional == "allow")


def is_heard() -> Column:
    """Return whether the user of an interactions row has heard the recording.

    A recording is heard if it has a timed play, a counted play or a rating. An act such as a like alone does
    not make it heard.
    """
    return (F.col("plays") > 0) | (F.col("counted") > 0) | F.col("rated").isNotNull()


def history(
    interactions: DataFrame, *, heard: str, rules: RulesConfig, weights: WeightsConfig, as_of: datetime
) -> DataFrame:
    """Return what the rules and the blend need to know of each user × recording with an interaction.

    Args:
        interactions: rows of `tables.INTERACTIONS`.
        heard: the heard policy. `exclude` refuses every heard recording, and `not_within` every recording
            heard in the last `rules.heard_days` days or on an unknown day. Under `mark` and `only`, no
            recording is refused for having been heard.
        rules: settings of the rules.
        weights: settings of the weights.
        as_of: the moment at which weights and the heard policy are evaluated.

    Returns:
        One row for each row of `interactions`: `user_idx`, `recording_idx`, `plays` (short), `first_day` and
        `last_day` (int, days since 1970), `weight` (float, the positive weight at `as_of`), and the booleans
        `heard`, `blocked` and `refused`. `blocked` is also true for a disliked recording if
        `rules.block_disliked` is true. `refused` means that the heard policy refuses the recording because
        the user has heard it.
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
    """Return the bits HEARD, BLOCKED and REFUSED of a row of `history` as one byte."""
    heard, blocked, refused = (
        F.when(F.col(name), bit).otherwise(0)
        for name, bit in (("heard", HEARD), ("blocked", BLOCKED), ("refused", REFUSED))
    )
    return (heard + blocked + refused).cast("byte")


def rule_flags(
    barred: Uint8Array,
    clean: BoolArray,
    past: Uint8Array,
    below: Int64Array,
    *,
    heard: str,
    unwanted: BoolArray | None = None,
) -> Int64Array:
    """Return for each candidate the bitmap of the rules that bind (int64).

    All arrays have one entry for each candidate.

    Args:
        barred: uint8, the byte of the recording in the mask of the market; NO_CARD if it has no card in the market, so that
            nothing without known rights is offered.
        clean: bool, whether the candidate's user wants clean tracks only.
        past: uint8, the bits HEARD, BLOCKED and REFUSED of user × recording; 0 without an interaction.
        below: int64, the result of `fact_flags`.
        heard: the heard policy; under `only`, the rule `heard` binds for a recording that the user never
            heard.
        unwanted: bool, for pools on demand: whether a constraint of the request excludes the candidate.
    """
    bits = barred.astype(np.int64) | below
    bits[~clean] &= ~BIT["explicit"]
    refused = (past & REFUSED > 0) | ((past & HEARD == 0) if heard == "only" else False)
    bits[past & BLOCKED > 0] |= BIT["blocked"]
    bits[refused] |= BIT["heard"]
    if unwanted is not None:
        bits[unwanted] |= BIT["request"]
    return bits


def fact_flags(
    table: RecordingTable, recordings: Int64Array, past: Uint8Array, standards: Standards
) -> Int64Array:
    """Return for each candidate the bitmap (int64) of the rules that bind by the recording's facts.

    These rules are `few_listeners`, `bot_inflated` and `functional`. None of them binds for a recording
    without facts. The arrays have one entry for each candidate.

    Args:
        table: facts of all recordings, indexed by `recording_idx`.
        recordings: int64, the `recording_idx` of each candidate.
        past: uint8, the bits of `history_bits` of user × recording; 0 without an interaction.
        standards: the standards that recordings must meet.
    """
    found = np.zeros(len(recordings), np.int64)
    on = np.flatnonzero(recordings < len(table))
    marks = table.marks[recordings[on]]
    on, marks = on[marks & HAS_FACTS > 0], marks[marks & HAS_FACTS > 0]
    one = recordings[on]
    too_few = (
        (table.listeners[one] < standards.min_listeners)
        & (past[on] & HEARD == 0)
        & (table.released[one] <= standards.new_after)
    )
    found[on] = too_few * BIT["few_listeners"] | (marks & INFLATED > 0) * BIT["bot_inflated"]
    if not standards.functional:
        found[on] |= (marks & FUNCTIONAL > 0) * BIT["functional"]
    return found
