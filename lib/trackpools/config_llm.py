"""The model that fills playlists: where it is, what it may cost, how long it is waited for."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from trackpools.config_values import Name, NonNegative, Section, Uri, text

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
