"""What turns a wish round: "no fast songs" asks for slower ones, "not my top artists" for nothing that a filter can say.

Whatever is denied is refused, or turned, or told as not applied; it is never wanted. Where a sentence could mean either it is told.
"""

import re
from typing import Any, Literal

from trackpools.fill.constraints import Band

Scope = Literal["", "near", "far"]


def _any(words: tuple[str, ...]) -> str:
    """A pattern of any of the words, with or without their apostrophe."""
    return "|".join(words).replace("'", "'?")


# words after which what follows is not wanted; "not", "isn't" deny the next word alone ("not too fast jazz" is jazz), the others all that follows
ADVERBS = ("not", "isn't", "aren't")
REFUSALS = (
    "no", "nothing", "nor", "neither", "never", "without", "avoid", "skip", "exclude", "excluding", "except", "minus", "less", "fewer", "hate", "dislike",
    "don't", "doesn't", "won't",
)
PHRASES = ("none", "do not")  # the same before phrases alone: names are told apart word by word
# words that deny in some way or other: what is wanted behind them nobody can tell. The prompts are English; "kein Jazz" is no wish for jazz all the same
DOUBTS = (
    "didn't", "can't", "cannot", "haven't", "hasn't", "wasn't", "wouldn't", "shouldn't", "hardly", "rarely", "instead", "anti",
    "none", "unless",
)
FOREIGN = (
    "kein", "keine", "keinen", "keiner", "nicht", "nie", "ohne", "sin", "nada", "nunca", "tampoco", "sans", "pas", "jamais", "aucun", "aucune", "senza",
    "niente",     "sem", "não", "nao", "nenhum", "geen", "niet", "zonder", "nooit", "ikke", "ingen", "inga", "inte", "utan", "uden", "uten", "aldrig", "aldri",
    "ilman", "bez", "nie", "żaden", "не", "нет", "без", "никакой",
)
BETWEEN = (
    r"too|so|that|very|really|much|many|more|any|anything|something|the|a|an|want|wanna|like|play|me|give|need|include|add|have|put|hear|listen|to|of|in|for|"
    r"from|is|are|be|with|songs?|tracks?|music|stuff|¦(?= +(?:or|nor) )|or|nor"
)
NEAR = re.compile(rf"(?:^|(?<= ))(?:(?P<adverb>{_any(ADVERBS)})|{_any((*REFUSALS, *PHRASES))})(?: +(?:{BETWEEN}))* *$")
ANY = re.compile(rf"(?<![\w'-])(?:{_any((*ADVERBS, *REFUSALS, *PHRASES, *DOUBTS, *FOREIGN))})(?![\w'-])")
END = re.compile(r"[,.;:!?()]+(?: |$)| but ")  # of a clause
ALL_BUT = r"(?:anything|everything|all|whatever) (?:but|except)|instead of|rather than|(?:something |anything )?other than|apart from|aside from"
NO_LIKING = r"in (?:the|a) mood for|into|a (?:big |huge )?fan of|feeling|keen on|interested in|up for"
ENOUGH = r"(?:so |really )?(?:tired|sick|bored) of|fed up with|(?:had |heard )?enough of|can't stand|cannot stand|stay away from"
SAID_OTHERWISE = (
    # a list goes on behind its last comma: "no jazz, rock, or metal"
    (re.compile(r",(?= (?:or|nor) )"), ""),
    (re.compile(r" (?:can't|cannot|can not) (?:get enough of|wait (?:for|to)|go wrong with) "), " "),
    (re.compile(r" (?:nothing beats|why not) "), " "),
    (re.compile(rf" (?:{ALL_BUT}) "), " except "),
    (re.compile(rf" (?:not|isn't|aren't) (?:really |so |that |very )?(?:{NO_LIKING}) "), " except "),
    (re.compile(rf"(?<!never)(?<!not)(?<!n't) (?:{ENOUGH}) "), " except "),
    (re.compile(r" ([\w'&-]+(?: [\w'&-]+)?) (?:is not|are not|isn't|aren't) (?:for me|my thing|my cup of tea)(?= )"), r" except \1 "),
)
TURNED = {"years": "no_years", "languages": "no_languages"}


def tidied(text: str) -> str:
    """Denials that stand elsewhere or are figures of speech, said before what they deny: "anything but jazz", "jazz is not for me"."""
    for pattern, plainly in SAID_OTHERWISE:
        text = pattern.sub(plainly, text)
    return text


def denial(before: str) -> tuple[Scope, str]:
    """How what follows a text is denied, and the text for what comes later: without a denial that is spent.

    `near`: the denial is said of it. `far`: there is one in its clause, and something unread between them.
    """
    found = NEAR.search(before)
    if found is not None:
        ahead = before[: found.start()]
        twice = ANY.search(_clause(ahead)) and not ahead.endswith((" and ", " or "))  # "not without fast songs" means what nobody can tell
        return "far" if twice else "near", ahead if found["adverb"] else before
    return ("far" if ANY.search(_clause(before)) else ""), before


def _clause(text: str) -> str:
    return END.split(text)[-1]


def turned(told: dict[str, Any]) -> dict[str, Any] | None:
    """Fields of a filter that say the opposite; None where none do."""
    made: dict[str, Any] = {}
    for name, value in told.items():
        if name in TURNED:
            made[TURNED[name]] = value
        elif name in {"heard", "artist_heard"}:
            made[name] = not value
        elif isinstance(value, Band) and (value.low is None or value.high is None):
            made[name] = Band(low=value.high, high=value.low)
        else:
            return None
    return made or None
