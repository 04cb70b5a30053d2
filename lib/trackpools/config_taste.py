"""What may be configured of taste: what is masked, what is nobody's taste, whose plays look bought, who is a minor."""

from typing import Annotated

from pydantic import AfterValidator, Field

from trackpools.config_values import Contexts, Count, Section, Share, finite, text

Tags = Annotated[
    list[Annotated[str, text(r"[^A-Z]{1,64}", "a tag of 1 to 64 characters in lower case")]],
    Field(max_length=1000),
]


class TagsConfig(Section):
    sleep: Tags
    kids: Tags
    noise: Tags
    functional: Tags


class TasteConfig(Section):
    exclude_contexts: Contexts
    loop_plays: Annotated[int, Field(ge=2, le=1_000_000)]
    share: Annotated[float, Field(gt=0, le=1), AfterValidator(finite)]
    min_users: Count
    tags: TagsConfig
    inflated_listeners: Count
    inflated_plays: Annotated[float, Field(ge=1, le=1e6), AfterValidator(finite)]
    inflated_share: Share
    inflated_lead: Annotated[float, Field(ge=1, le=1e6), AfterValidator(finite)]
    minor_bands: Annotated[
        list[Annotated[str, text(r"[^,]{1,32}", "a band of 1 to 32 characters such as 13-17")]],
        Field(max_length=100),
    ]
