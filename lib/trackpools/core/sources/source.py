"""What a candidate source is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pyspark.sql import DataFrame

from trackpools.core.sources.inputs import ListInputs, SourceInputs
from trackpools.core.sources.listeners import Listeners, Offers, Seeds


@dataclass(frozen=True)
class Source:
    """A candidate source; it works in one of three ways, and takes what the configuration tells it as `settings`.

    By lists: `lists` makes ranked lists by a whole number, the same for all listeners, and `seeds` tells from a listener's own history which to
    look up and how much each counts. From history alone: `offers`. In its own way: `candidates`, a frame as `sources` has it.

    Attributes:
        bit: its place in the `sources` bitmap and its `source` code; never reused.
        emits: whether it proposes what the user has not heard, has heard, or both.
        new_reason, heard_reason: sentence for a new and for a heard candidate; `{n}` is the rank in this source or the number of plays.
        keyed: what of a listener's its keys are, so that `explain` can say because of which a recording is there; None where they say nothing of him.
        lots: whether a user's items are drawn by lot from the lists looked up, not ranked by them.
    """

    name: str
    bit: int
    emits: Literal["new", "heard", "both"]
    new_reason: str
    heard_reason: str
    lists: Callable[[ListInputs, Any], DataFrame] | None = None
    seeds: Callable[[Listeners, Any], Seeds] | None = None
    offers: Callable[[Listeners, Any], Offers] | None = None
    candidates: Callable[[SourceInputs, Any], DataFrame] | None = None
    keyed: Literal["recording", "artist", "tag"] | None = None
    lots: bool = False
