"""The source `vectors`: the recordings of largest inner product with the user, by external vectors.

External vectors are trained outside of trackpools, for example by a two-tower model or from texts.
"""

from dataclasses import replace

from pyspark.sql import DataFrame

from trackpools.config.sources import VectorsSourceConfig
from trackpools.core.sources import als
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import SourceInputs

BIT = 10


def candidates(inputs: SourceInputs, settings: VectorsSourceConfig) -> DataFrame:
    """Propose the recordings of largest inner product to every user who has a vector.

    Returns:
        One row for each user with a vector; the columns are those of the package `sources`.
    """
    own = inputs.vectors
    assert own is not None  # noqa: S101 - the stage passes the vectors whenever the source is on
    scoring = replace(
        inputs,
        user_factors=own.users,
        recording_factors=own.recordings,
        recordings=own.count,
        rank=settings.length,
        stripes=None,
    )
    return als.rank_by_factors(scoring, BIT, settings.k, 0)


SOURCE = Source(
    "vectors",
    BIT,
    "new",
    "number {n} by your own model's vectors",
    "played {n} ×, by your own model's vectors",
    candidates=candidates,
)
