"""Settings of operation: local Spark sessions, refreshes, limits of `watch`, and the price of compute.

`conf/base.yml` explains every key.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from trackpools.config.values import NonNegative, Positive, Section, Share, finite, text

# These patterns accept only what is safe to pass to a Maven resolver and on Spark's command line.
Coordinate = Annotated[
    str,
    text(
        r"[A-Za-z0-9_.-]{1,100}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){2}(:[0-9a-f]{64})?",
        "Maven coordinates group:artifact:version, or these and :SHA-256",
    ),
]
ConfValue = Annotated[
    str,
    text(r"[^`'\"\\]{0,1000}", "at most 1000 characters without quotes, backslashes or control characters"),
]
CONF_KEY = re.compile(r"spark\.[A-Za-z0-9_.-]{1,200}")
SECRET = re.compile(r"secret|password|token$|access[.-]?key|account\.key|private|sas\b", re.IGNORECASE)


class SessionConfig(Section):
    """Settings of a local Spark session; a session that was started outside trackpools is used as it is."""

    cores: Annotated[int, Field(ge=1, le=1024)]
    memory: Annotated[
        str, text(r"[5-9][0-9]{2}m|[1-9][0-9]{3,6}m|[1-9][0-9]{0,3}g", "at least 500m, such as 900m or 4g")
    ]
    quick_start: bool
    packages: Annotated[list[Coordinate], Field(max_length=100)]
    conf: dict[str, ConfValue]

    @field_validator("conf")
    @classmethod
    def _conf(cls, conf: dict[str, str]) -> dict[str, str]:
        if odd := sorted(key for key in conf if not CONF_KEY.fullmatch(key)):
            raise ValueError(
                f"{', '.join(map(ascii, odd))} cannot be a setting of Spark, because such a name begins with 'spark.' "
                "and has only letters, digits, _, . or -, for example spark.hadoop.fs.s3a.endpoint"
            )
        if secret := sorted(
            key for key, value in conf.items() if SECRET.search(key) or re.search("//[^/]*:[^/]*@", value)
        ):
            raise ValueError(
                f"must not hold the secret {', '.join(secret)}, because the configuration is logged; "
                "leave it to the environment or to a credential provider"
            )
        return conf


class RefreshConfig(Section):
    """How a refresh works, and limits above which it advises a full run.

    Attributes:
        rota: number of refreshes after which every bucket of `pools` has taken in its rows of the overlay,
            the table of pools that refreshes wrote.
        max_hot_share: pools in the overlay, as a share of all pools; a user who was refreshed twice counts twice.
        max_unknown_share: share of the positive evidence of refreshed users that is about recordings without
            factors.
        max_model_days: days since the training of the model.
    """

    rota: Annotated[int, Field(ge=1, le=100_000)]
    max_hot_share: Share
    max_unknown_share: Share
    max_model_days: Annotated[int, Field(ge=1, le=3650)]


class WatchConfig(Section):
    """How far a log and its pools may be from the usual before `trackpools watch` exits with code 3."""

    fresh_hours: Positive
    volume: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    nulls: Share
    psi: Positive
    lost: Share
    new: Share
    fill: Share
    short: Share


class CostConfig(Section):
    """The price of one core for one hour, in `currency`."""

    core_hour: NonNegative
    currency: Annotated[str, text("[A-Z]{3}", "a currency of three capitals such as USD")]
