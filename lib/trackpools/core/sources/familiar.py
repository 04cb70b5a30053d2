"""The source `familiar`: recordings that users play now."""

from trackpools.config.sources import FamiliarSourceConfig
from trackpools.core.sources.activation import activation
from trackpools.core.sources.source import Source
from trackpools.core.sources.user_block import Offers, UserBlock
from trackpools.core.topk.exact import top_k_rows


def offers(listeners: UserBlock, settings: FamiliarSourceConfig) -> Offers:
    """Rank each user's heard recordings by activation.

    Left out are recordings that are blocked or refused, and those without a positive weight, such as disliked
    ones.
    """
    active = activation(listeners, settings.decay)
    rows = top_k_rows(listeners.owner, active, listeners.recording, len(active))
    rows = rows[(listeners.heard & ~listeners.excluded & (listeners.weight > 0))[rows]]
    return Offers(listeners.owner[rows], listeners.recording[rows], active[rows])


SOURCE = Source(
    "familiar", 5, "heard", "number {n} of what you play now", "played {n} ×, and lately", offers=offers
)
