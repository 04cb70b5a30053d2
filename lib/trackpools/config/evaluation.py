"""Settings about measuring a model: the days of measurement, the search for settings, and the gates.

A model must pass the gates of `promote` before it serves all users. `conf/base.yml` explains every key.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from trackpools.config.values import Count, Section, Share, finite

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
    """The days after a release whose plays measure its pools, and the users of some measures."""

    days: Days
    short_days: Days
    max_users: Count


class TuneConfig(Section):
    """The limits of the search for better settings by `trackpools tune`."""

    trials: Annotated[int, Field(ge=1, le=10_000)]
    minutes: Annotated[float, Field(gt=0, le=100_000), AfterValidator(finite)]
    users: Count
    k: Annotated[int, Field(ge=1, le=10_000)]
    rank_max: Annotated[int, Field(ge=4, le=2048)]


class PromoteConfig(Section):
    """The gates that a new model must pass before `trackpools promote` publishes it."""

    required: bool
    metric: Metric
    level: Annotated[float, Field(gt=0.5, lt=1), AfterValidator(finite)]
    min_effect: Annotated[float, Field(ge=-1, le=1), AfterValidator(finite)]
    slice_margin: Share
    min_users: Count
    min_coverage: Annotated[float, Field(ge=0, le=100), AfterValidator(finite)]
    min_overlap: Share


class CanaryConfig(Section):
    """The share of the buckets that read a canary release, and the guardrails that can end it."""

    share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    min_fill: Share
    max_short: Share
    max_loss: Share
