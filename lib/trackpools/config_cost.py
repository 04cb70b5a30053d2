"""What compute costs here."""

from typing import Annotated

from trackpools.config_values import NonNegative, Section, text


class CostConfig(Section):
    core_hour: NonNegative
    currency: Annotated[str, text("[A-Z]{3}", "a currency of three capitals such as USD")]
