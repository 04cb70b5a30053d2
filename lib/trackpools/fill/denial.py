"""What stands before a phrase and turns it round: "no fast songs" asks for slower ones, "not my top artists" for nothing that a filter can say."""

import re
from typing import Any

from trackpools.fill.constraints import Band

# words after which what follows is not wanted; "not", "isn't" deny the next word alone ("not too fast jazz" is jazz), the others all that follows
ADVERBS = r"not|isn't|aren't|isnt|arent"
REFUSALS = (
    r"no|nothing|none|nor|neither|never|without|avoid|skip|exclude|excluding|except|minus|less|fewer|hate|dislike|don't|dont|do not|doesn't|doesnt|"
    r"won't|wont|can't stand|cant stand|rather than|instead of"
)
BETWEEN = (
    r"too|so|that|very|really|much|many|more|any|the|a|an|all|want|wanna|like|play|me|give|need|include|add|have|put|hear|to|of|in|for|from|"
    r"is|are|be|songs?|tracks?|music|stuff|¦(?= +(?:or|nor) )|or|nor"
)
BEFORE = re.compile(rf"(?:^|(?<= ))(?:(?P<adverb>{ADVERBS})|{REFUSALS})(?: +(?:{BETWEEN}))* *$")
ALL_BUT = re.compile(r" (?:anything|everything|all|whatever) (?:but|except) ")
AFTER = re.compile(r" ([\w'&-]+(?: [\w'&-]+)?) (?:is not|are not|isn't|aren't) (?:for me|my thing|my cup of tea)(?= )")
TURNED = {"years": "no_years", "languages": "no_languages"}


def tidied(text: str) -> str:
    """Denials that stand elsewhere, said before what they deny: "anything but jazz", "jazz is not for me"."""
    return AFTER.sub(r" except \1 ", ALL_BUT.sub(" except ", text))


def denial(before: str) -> tuple[bool, str]:
    """Whether what follows a text is denied, and the text for what comes later: without a denial that is spent."""
    found = BEFORE.search(before)
    if found is None:
        return False, before
    return True, before[: found.start()] if found["adverb"] else before


def turned(told: dict[str, Any]) -> dict[str, Any] | None:
    """Fields of a filter that say the opposite; None where none do."""
    made: dict[str, Any] = {}
    for name, value in told.items():
        if name in TURNED:
            made[TURNED[name]] = value
        elif name == "heard":
            made[name] = not value
        elif isinstance(value, Band) and (value.low is None or value.high is None):
            made[name] = Band(low=value.high, high=value.low)
        else:
            return None
    return made or None
