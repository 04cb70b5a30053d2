"""The source `rediscover`: recordings that a user once played often and has not played for long."""

import numpy as np

from trackpools.config.sources import RediscoverSourceConfig
from trackpools.core.sources.activation import activation
from trackpools.core.sources.source import Source
from trackpools.core.sources.user_block import NO_DAY, Offers, UserBlock
from trackpools.core.topk.exact import top_k_rows


def offers(listeners: UserBlock, settings: RediscoverSourceConfig) -> Offers:
    """Rank by plays what each user played often (`min_plays`), but not in the last `quiet_days` days.

    Of equal numbers of plays, the recording of greater activation is first. Left out are recordings that are
    blocked or refused, those without a positive weight, and those whose last day is unknown. So a log without
    days gives no proposals.
    """
    quiet = (
        (listeners.last_day != NO_DAY)
        & (listeners.today - listeners.last_day >= settings.quiet_days)
        & (listeners.plays >= settings.min_plays)
    )
    # the activation adds less than 1 to the number of plays, so it only decides between equal numbers
    active = activation(listeners, settings.decay)
    loved = listeners.plays + np.clip((active + 10.0) / 20.0, 0.0, 0.999)
    rows = top_k_rows(listeners.owner, loved, listeners.recording, len(loved))  # type: ignore[arg-type]  # it is float64
    rows = rows[(listeners.heard & ~listeners.excluded & quiet & (listeners.weight > 0))[rows]]
    return Offers(listeners.owner[rows], listeners.recording[rows], loved[rows])


SOURCE = Source(
    "rediscover",
    6,
    "heard",
    "number {n} of what you have not played for long",
    "played {n} ×, not for long",
    offers=offers,
)
