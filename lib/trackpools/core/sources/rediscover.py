"""Loved once, quiet since."""

from typing import Any

import numpy as np

from trackpools.core.sources.activation import activation
from trackpools.core.sources.listeners import NEVER, Listeners, Offers
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading


def offers(listeners: Listeners, settings: Any) -> Offers:
    """Recordings of many plays whose last is long ago, by plays; ties to what was forgotten less. In a log without days nothing is known to be quiet."""
    quiet = (
        (listeners.last_day != NEVER)
        & (listeners.today - listeners.last_day >= settings.quiet_days)
        & (listeners.plays >= settings.min_plays)
    )
    # a play more outweighs any difference of activation
    active = activation(listeners, settings.decay)
    loved = listeners.plays + np.clip((active + 10.0) / 20.0, 0.0, 0.999)
    rows = leading(listeners.owner, loved, listeners.recording, len(loved))
    rows = rows[(listeners.heard & ~listeners.closed & quiet & (listeners.weight > 0))[rows]]
    return Offers(listeners.owner[rows], listeners.recording[rows], loved[rows])


SOURCE = Source(
    "rediscover",
    6,
    "heard",
    "number {n} of what you have not played for long",
    "played {n} ×, not for long",
    offers=offers,
)
