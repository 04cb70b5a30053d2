"""Vectors of your own, of a two-tower model or of texts: the recordings of largest inner product."""

from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame

from trackpools.core.sources import als
from trackpools.core.sources.inputs import SourceInputs
from trackpools.core.sources.source import Source

BIT = 10


def candidates(inputs: SourceInputs, settings: Any) -> DataFrame:
    """One row a user with a vector, see `sources`."""
    own = inputs.vectors
    assert own is not None  # noqa: S101 - the stage gives them wherever the source is on
    scoring = replace(
        inputs,
        user_factors=own.users,
        recording_factors=own.recordings,
        recordings=own.count,
        rank=settings.length,
        stripes=None,
    )
    return als.ranked(scoring, BIT, settings.k, 0)


SOURCE = Source(
    "vectors",
    BIT,
    "new",
    "number {n} by your own model's vectors",
    "played {n} ×, by your own model's vectors",
    candidates=candidates,
)
