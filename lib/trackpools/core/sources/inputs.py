"""What every candidate source is given."""

from dataclasses import dataclass

from pyspark.sql import DataFrame

from trackpools.config import Config


@dataclass(frozen=True)
class SourceInputs:
    """Lazy frames at pinned versions.

    Attributes:
        users: eligible users: `user_idx int, market string (group), clean boolean`.
        history: result of `rules.history`.
        cards: `track_cards`.
        user_factors, recording_factors: `idx int, factors array<float>`.
        shelf: of `shelf.packed_shelf`: facts of every recording.
        recordings: number of trained recordings, to plan with.
        stripes: of `als.stripes`, where the caller keeps them to use them more than once.
    """

    users: DataFrame
    history: DataFrame
    cards: DataFrame
    user_factors: DataFrame
    recording_factors: DataFrame
    shelf: DataFrame
    recordings: int
    config: Config
    stripes: DataFrame | None = None
