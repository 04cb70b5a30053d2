"""Candidate sources: one file each, all of one shape.

A source is a function `(SourceInputs) -> DataFrame` of one row a user: `user_idx int, source tinyint, recordings binary, scores
binary, masked int`: int32 and float32 side by side, best first. `items.packed` makes the two of `items array<struct<recording int,
score float>>`. It may leave out users it knows nothing of. To add one: write its file, add it to SOURCES with the next free bit,
and give it a section in `conf/base.yml` and `config.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import DataFrame

from trackpools.config import Config
from trackpools.core.sources import als, popular
from trackpools.core.sources.inputs import SourceInputs


@dataclass(frozen=True)
class Source:
    """A candidate source.

    Attributes:
        bit: its place in the `sources` bitmap and its `source` code; never reused.
        emits: whether it proposes what the user has not heard, has heard, or both.
        reasons: sentence for a new and for a heard candidate; `{n}` is the rank in this source or the number of plays.
    """

    name: str
    bit: int
    emits: Literal["new", "heard", "both"]
    candidates: Callable[[SourceInputs], DataFrame]
    new_reason: str
    heard_reason: str


SOURCES = (
    Source("als", 0, "both", als.candidates, "number {n} of what is near your listening", "played {n} × and near your listening"),
    Source("popular", 1, "both", popular.candidates, "number {n} in your market", "number {n} in your market, known to you"),
)


def enabled(config: Config) -> list[Source]:
    """The sources that the configuration switches on, in bit order."""
    return [source for source in SOURCES if getattr(config.sources, source.name).enabled]


def reason_code(bit: int, *, heard: bool) -> int:
    """Code of the `reason` column: two a source."""
    return 2 * bit + int(heard)


def dictionary() -> dict[str, str]:
    """What bits and codes mean, to be pinned by the release: `source.<bit>` → name, `reason.<code>` → sentence."""
    names = {f"source.{s.bit}": s.name for s in SOURCES}
    new = {f"reason.{reason_code(s.bit, heard=False)}": s.new_reason for s in SOURCES}
    return names | new | {f"reason.{reason_code(s.bit, heard=True)}": s.heard_reason for s in SOURCES}
