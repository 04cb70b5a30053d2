"""Settings of playlists: how they are filled, the language model, and the key-value store.

`conf/base.yml` explains every key.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from trackpools.config.values import Count, Name, NonNegative, Section, Share, Uri, finite, text


class FillConfig(Section):
    """How a playlist is filled; `tracks` and `artist_cap` hold where a request does not give its own."""

    tracks: Annotated[int, Field(ge=1, le=500)]
    artist_cap: Annotated[int, Field(ge=1, le=500)]
    apart: bool
    retrieved: Annotated[int, Field(ge=0, le=10_000)]
    trace: Share
    solver_s: Annotated[float, Field(gt=0, le=60), AfterValidator(finite)]
    explore: Share
    keep: bool
    keep_batch: Count
    keep_s: Annotated[float, Field(ge=0, le=3600), AfterValidator(finite)]


Model = Annotated[
    str, text(r"[\w./:@+ -]{1,200}", "a model's name of 1 to 200 letters, digits, spaces or ./:@+-")
]
Prompt = Annotated[
    str,
    text(
        r"prompts:/[\w.-]{1,200}(@[\w-]{1,100}|/[1-9]\d{0,8})",
        "a prompt of MLflow's registry, as prompts:/NAME@ALIAS or prompts:/NAME/VERSION",
    ),
]


class LlmConfig(Section):
    """The language model: its endpoint, its instructions, and the limits of its requests, time and cost."""

    base_url: Uri | None
    model: Model | None
    key_env: Name | None
    prompt: Prompt | None
    private: bool
    parse: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_tokens: Annotated[int, Field(ge=16, le=100_000)]
    shown: Annotated[int, Field(ge=1, le=2000)]
    pack_tokens: Annotated[int, Field(ge=500, le=1_000_000)]
    retries: Annotated[int, Field(ge=0, le=10)]
    breaker_failures: Annotated[int, Field(ge=1, le=1000)]
    breaker_rest_s: Annotated[float, Field(ge=0, le=3600)]
    price_in: NonNegative
    price_out: NonNegative
    budget: NonNegative | None

    @field_validator("model")
    @classmethod
    def _both(cls, model: str | None, info: ValidationInfo) -> str | None:
        if "base_url" in info.data and (info.data["base_url"] is None) != (model is None):
            raise ValueError("base_url and model go together; set both or neither")
        return model


Seconds = Annotated[float, Field(gt=0, le=3600), AfterValidator(finite)]
URL = r"(rediss?://[\w.-]{1,253}(:\d{1,5})?(/\d{1,3})?)|(unix:///[\w./-]{1,200})"
Address = Annotated[
    str, text(URL, "redis://HOST:PORT/NUMBER, rediss://… with TLS, or unix:///PATH; no user, no password")
]
Prefix = Annotated[str, text(r"[\w.:-]{1,64}", "1 to 64 letters, digits or _.:-")]
User = Annotated[str, text(r"[\w.@-]{1,128}", "a user's name of 1 to 128 letters, digits or _.@-")]


class KvConfig(Section):
    """The key-value store from which fills read users and catalogue: address, lifetimes and timeouts."""

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
