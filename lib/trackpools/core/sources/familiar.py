"""What they play now."""

from typing import Any

from trackpools.core.sources.activation import activation
from trackpools.core.sources.listeners import Listeners, Offers
from trackpools.core.sources.source import Source
from trackpools.core.topk import leading


def offers(listeners: Listeners, settings: Any) -> Offers:
    """Recordings heard, by activation; a dislike or block keeps one out, and weighs nothing."""
    active = activation(listeners, settings.decay)
    rows = leading(listeners.owner, active, listeners.recording, len(active))
    rows = rows[(listeners.heard & ~listeners.closed & (listeners.weight > 0))[rows]]
    return Offers(listeners.owner[rows], listeners.recording[rows], active[rows])


SOURCE = Source(
    "familiar", 5, "heard", "number {n} of what you play now", "played {n} ×, and lately", offers=offers
)
