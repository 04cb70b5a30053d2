"""What a local session may be told; a session of others is used as it is."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from trackpools.config_values import Section, text

# what a resolver may be asked for, and what may stand on Spark's command line
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
            raise ValueError(f"holds {odd}; confs of Spark are spark.…, such as spark.hadoop.fs.s3a.endpoint")
        if secret := sorted(
            key for key, value in conf.items() if SECRET.search(key) or re.search("//[^/]*:[^/]*@", value)
        ):
            raise ValueError(
                f"must not hold the secret {secret}, for the configuration is logged; leave it to the environment or to a credential provider"
            )
        return conf
