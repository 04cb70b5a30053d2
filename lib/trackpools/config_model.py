"""What is asked of a model before it may serve: on which days it is measured, how settings are searched for, what a challenger must show."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trackpools.config_values import Count, Section, Share, finite

Metric = Literal[
    "new_recall@100",
    "new_recall@200",
    "new_recall@500",
    "new_recall@all",
    "new_oracle_ndcg@30",
    "again_recall@100",
    "again_recall@200",
    "again_recall@500",
    "again_recall@all",
    "again_oracle_ndcg@30",
]
Days = Annotated[int, Field(ge=1, le=366)]


class HoldoutConfig(Section):
    days: Days
    short_days: Days
    max_users: Count


class TuneConfig(Section):
    trials: Annotated[int, Field(ge=1, le=10_000)]
    minutes: Annotated[float, Field(gt=0, le=100_000), AfterValidator(finite)]
    users: Count
    k: Annotated[int, Field(ge=1, le=10_000)]
    rank_max: Annotated[int, Field(ge=4, le=2048)]


class PromoteConfig(Section):
    required: bool
    metric: Metric
    level: Annotated[float, Field(gt=0.5, lt=1), AfterValidator(finite)]
    min_effect: Annotated[float, Field(ge=-1, le=1), AfterValidator(finite)]
    slice_margin: Share
    min_users: Count
    min_coverage: Annotated[float, Field(ge=0, le=100), AfterValidator(finite)]
    min_overlap: Share


class CanaryConfig(Section):
    share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    min_fill: Share
    max_short: Share
    max_loss: Share
