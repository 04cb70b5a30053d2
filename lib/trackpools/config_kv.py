"""The key-value store that fills read listeners from: where it is, how long what it holds lives, how long it is waited for."""

from typing import Annotated

from pydantic import AfterValidator, Field

from trackpools.config_values import Count, Name, Section, finite, text

Seconds = Annotated[float, Field(gt=0, le=3600), AfterValidator(finite)]
URL = r"(rediss?://[\w.-]{1,253}(:\d{1,5})?(/\d{1,3})?)|(unix:///[\w./-]{1,200})"
Address = Annotated[
    str, text(URL, "redis://HOST:PORT/NUMBER, rediss://… with TLS, or unix:///PATH; no user, no password")
]
Prefix = Annotated[str, text(r"[\w.:-]{1,64}", "1 to 64 letters, digits or _.:-")]
User = Annotated[str, text(r"[\w.@-]{1,128}", "a user's name of 1 to 128 letters, digits or _.@-")]


class KvConfig(Section):
    url: Address | None
    cluster: bool
    user: User | None
    password_env: Name | None
    prefix: Prefix
    ttl_hours: Annotated[float, Field(ge=1, le=24 * 365), AfterValidator(finite)]
    stale_hours: Annotated[float, Field(ge=0, le=24 * 365), AfterValidator(finite)]
    timeout_s: Seconds
    load_timeout_s: Seconds
    failures: Annotated[int, Field(ge=1, le=1000)]
    rest_s: Annotated[float, Field(ge=0, le=3600), AfterValidator(finite)]
    batch: Annotated[Count, Field(le=10_000)]
