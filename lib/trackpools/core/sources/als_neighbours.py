"""The source `als_neighbours`: recordings near single recordings that a user loves or played recently.

Nearness is the cosine of ALS factors. These neighbours are more specific than the proposals of the source
`als`, which averages a user's taste.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config.sources import SeededSourceConfig
from trackpools.core.sources import als
from trackpools.core.sources.source import Source
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.user_block import recent_and_loved


def lists(inputs: ListInputs, settings: SeededSourceConfig) -> DataFrame:
    """List, for each recording, the other recordings of greatest cosine.

    Returns:
        `key long` (the `recording_idx`), `recordings binary, scores binary`, one row for each recording with
        factors; the score is the cosine.
    """
    return als.nearest_recordings(inputs, settings.list_length).select(
        F.col("user_idx").cast("long").alias("key"), "recordings", "scores"
    )


SOURCE = Source(
    "als_neighbours",
    2,
    "new",
    "number {n} near recordings you play",
    "played {n} × and near recordings you play",
    lists=lists,
    seeds=recent_and_loved,
    keyed="recording",
)
