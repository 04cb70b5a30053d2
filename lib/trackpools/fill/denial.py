"""What stands before a phrase and turns it round: "no fast songs" asks for slower ones, "not my top artists" for nothing that a filter can say."""

import re
from typing import Any

from trackpools.fill.constraints import Band


def _any(words: tuple[str, ...]) -> str:
    """A pattern of any of the words, with or without their apostrophe."""
    return "|".join(words).replace("'", "'?")


# words after which what follows is not wanted; "not", "isn't" deny the next word alone ("not too fast jazz" is jazz), the others all that follows
ADVERBS = ("not", "isn't", "aren't")
REFUSALS = (
    "no", "nothing", "nor", "neither", "never", "without", "avoid", "skip", "exclude", "excluding", "except", "minus", "less", "fewer", "hate", "dislike",
    "don't", "doesn't", "won't",
)
PHRASES = ("none", "do not", "can't stand", "rather than", "instead of")  # the same before phrases alone: names are told apart word by word
BETWEEN = (
    r"too|so|that|very|really|much|many|more|any|the|a|an|all|want|wanna|like|play|me|give|need|include|add|have|put|hear|to|of|in|for|from|"
    r"is|are|be|songs?|tracks?|music|stuff|¦(?= +(?:or|nor) )|or|nor"
)
BEFORE = re.compile(rf"(?:^|(?<= ))(?:(?P<adverb>{_any(ADVERBS)})|{_any((*REFUSALS, *PHRASES))})(?: +(?:{BETWEEN}))* *$")
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
