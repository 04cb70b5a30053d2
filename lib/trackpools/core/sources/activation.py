"""How present a recording is in a listener's memory: the base-level activation of ACT-R."""

from typing import Any

import numpy as np

from trackpools.core.sources.listeners import NEVER, Listeners


def activation(listeners: Listeners, decay: float) -> Any:
    """Of each recording ln Σ_j (now − t_j)^−decay over its plays, float64, in days.

    Of the plays only the number, the first and the last day are kept; the others are taken as evenly spread between them, which gives the sum in closed
    form (Petrov 2006, Computationally efficient approximation of the base-level learning equation in ACT-R). One that was never played counts as one play.
    """
    last = listeners.age()
    first = np.maximum(
        np.where(listeners.first_day == NEVER, last, listeners.today - listeners.first_day), last
    )
    n, span = np.maximum(listeners.plays, 1).astype(np.float64), first - last
    between = (first ** (1 - decay) - last ** (1 - decay)) / ((1 - decay) * np.where(span > 0, span, 1.0))
    each = np.where(span > 0, between, last**-decay)
    return np.log(last**-decay + (n - 1) * each)
