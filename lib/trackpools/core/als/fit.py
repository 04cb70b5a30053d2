"""The result of a training: factors, the loss curve and the size of the data that it used."""

from dataclasses import dataclass

from pyspark.sql import DataFrame


@dataclass(frozen=True)
class TrainingShape:
    """How many rows, users and recordings the data of a training has."""

    rows: int
    users: int
    recordings: int


@dataclass(frozen=True)
class Fit:
    """Factors, and facts about their training.

    Attributes:
        users: `idx int, factors array<float>`, one row for each user with evidence.
        recordings: the same columns, one row for each recording with evidence.
        curve: the loss after each iteration; empty if the engine does not report it.
        rank: number of factors; lower than `train.rank` if the data has fewer users or recordings.
        trained: the size of the data on which the engine trained; if a sample is configured, the size of the
            sample.
        warnings: remarks for the user who started the training, such as a lowered rank.
    """

    users: DataFrame
    recordings: DataFrame
    curve: list[float]
    rank: int
    trained: TrainingShape
    warnings: list[str]
