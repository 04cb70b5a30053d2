"""How present a recording is in a user's memory: the base-level activation of ACT-R."""

import numpy as np

from trackpools.core.arrays.array_types import Float64Array
from trackpools.core.sources.user_block import NO_DAY, UserBlock


def activation(listeners: UserBlock, decay: float) -> Float64Array:
    """Return ln Σ_j (now − t_j)^−decay over the plays j of each recording, with times in days.

    A history holds only the number of plays, the first day and the last day. The other plays are assumed to
    be spread evenly between these days. The sum then has a closed form (Petrov 2006, Computationally
    efficient approximation of the base-level learning equation in ACT-R). A recording without plays counts as
    one play. The last play counts as at least half a day ago, and as 365 days ago if its day is unknown.

    Args:
        listeners: the users and their histories.
        decay: the exponent of forgetting; it must not be 1.

    Returns:
        float64, one number for each entry of the histories.
    """
    last = listeners.days_since_play()
    first = np.maximum(
        np.where(listeners.first_day == NO_DAY, last, listeners.today - listeners.first_day), last
    )
    n, span = np.maximum(listeners.plays, 1).astype(np.float64), first - last
    between = (first ** (1 - decay) - last ** (1 - decay)) / ((1 - decay) * np.where(span > 0, span, 1.0))
    each = np.where(span > 0, between, last**-decay)
    return np.log(last**-decay + (n - 1) * each)
