"""Rules in fixed order; the first that binds is the reason a candidate is dropped, the last reason is `below_cut`."""

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools.config import RulesConfig

# position is the bit in `flags` and so the order; a new rule is a name here and a column in `flags`
RULES = ("taken_down", "rights", "explicit", "blocked", "heard", "below_cut")
BELOW_CUT = len(RULES) - 1
SHORT_MAX = 2**15 - 1


def is_heard() -> Column:
    """Met as a listener: a timed play, a counted one or a rating; an act such as a like alone is not."""
    return (F.col("plays") > 0) | (F.col("counted") > 0) | F.col("rated").isNotNull()


def history(interactions: DataFrame, *, heard: str, rules: RulesConfig, as_of: datetime) -> DataFrame:
    """What the rules need to know of user × recording.

    Returns:
        `user_idx, recording_idx, plays short, last_day int (days since 1970), heard, blocked, refused boolean`; refused is
        the verdict of the heard policy on a recording that was heard.
    """
    recently = F.coalesce(F.datediff(F.lit(as_of.date()), F.col("last_day")) < rules.heard_days, F.lit(True))
    refused = {"mark": F.lit(False), "only": F.lit(False), "exclude": F.lit(True), "not_within": recently}[heard]
    disliked = F.lit(rules.block_disliked) & (F.col("likes") < 0)
    return interactions.select(
        "user_idx", "recording_idx",
        F.least(F.col("plays") + F.col("counted"), F.lit(SHORT_MAX)).cast("short").alias("plays"),
        F.unix_date("last_day").alias("last_day"),
        is_heard().alias("heard"), (F.col("blocked") | disliked).alias("blocked"), (is_heard() & refused).alias("refused"),
    )


def flags(*, heard: str) -> Column:
    """Bitmap int of the rules that bind, over a candidate joined with its card, its user and its history (null where none).

    A rule that needs what is unknown binds: a candidate without a card in the market has no rights there.
    """
    unheard = F.lit(heard == "only") & ~F.coalesce("heard", F.lit(False))
    bound = {
        "taken_down": ~F.coalesce("available", F.lit(False)),
        "rights": F.col("track_id").isNull(),
        "explicit": F.col("clean") & F.col("clean_track_id").isNull(),
        "blocked": F.coalesce("blocked", F.lit(False)),
        "heard": F.coalesce("refused", F.lit(False)) | unheard,
    }
    bits = [F.when(bound[name], 1 << bit).otherwise(0) for bit, name in enumerate(RULES[:BELOW_CUT])]
    return sum(bits[1:], bits[0]).cast("int")
