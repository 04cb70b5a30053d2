"""What turns a wish round: "no fast songs" asks for slower ones, "not my top artists" for nothing that a filter can say.

Whatever is denied is refused, or turned, or told as not applied; it is never wanted. Where a sentence could mean either it is told.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from trackpools.fill.contract.constraints import Band

Scope = Literal["", "near", "far"]


def any_of(words: tuple[str, ...]) -> str:
    """A pattern of any of the words, with or without their apostrophe."""
    return "|".join(words).replace("'", "'?")


# words after which what follows is not wanted; "not", "isn't" deny the next word alone ("not too fast jazz" is jazz), the others all that follows
ADVERBS = ("not", "isn't", "aren't")
REFUSALS = (
    "no",
    "nothing",
    "nor",
    "neither",
    "never",
    "without",
    "avoid",
    "skip",
    "exclude",
    "excluding",
    "except",
    "minus",
    "hate",
    "hates",
    "dislike",
    "dislikes",
    "loathe",
    "despise",
    "don't",
    "doesn't",
    "won't",
)
PHRASES = ("none", "do not")  # the same before phrases alone: names are told apart word by word
# words that deny in some way or other: what is wanted behind them nobody can tell. The prompts are English; "kein Jazz" is no wish for jazz all the same
DOUBTS = (
    "doubtful",
    "didn't",
    "can't",
    "cannot",
    "haven't",
    "hasn't",
    "wasn't",
    "wouldn't",
    "shouldn't",
    "mustn't",
    "ain't",
    "hardly",
    "rarely",
    "barely",
    "less",
    "fewer",
    "little",
    "instead",
    "anti",
    "none",
    "nobody",
    "unless",
    "if",
)
FOREIGN = (
    "kein",
    "keine",
    "keinen",
    "keiner",
    "nicht",
    "nie",
    "ohne",
    "sin",
    "nada",
    "nunca",
    "tampoco",
    "sans",
    "pas",
    "jamais",
    "aucun",
    "aucune",
    "senza",
    "niente",
    "sem",
    "não",
    "nao",
    "nenhum",
    "geen",
    "niet",
    "zonder",
    "nooit",
    "ikke",
    "ingen",
    "inga",
    "inte",
    "utan",
    "uden",
    "uten",
    "aldrig",
    "aldri",
    "ilman",
    "bez",
    "nie",
    "żaden",
    "не",
    "нет",
    "без",
    "никакой",
)
BETWEEN = (
    r"too|so|that|very|really|much|many|more|any|anything|something|the|a|an|want|wanna|like|play|me|give|need|include|add|have|put|hear|listen|to|of|in|for|"
    r"from|by|is|are|be|with|songs?|tracks?|music|stuff|¦(?= +(?:or|nor) )|or|nor"
)
NEAR = re.compile(
    rf"(?:^|(?<= ))(?:(?P<adverb>{any_of(ADVERBS)})|{any_of((*REFUSALS, *PHRASES))})(?: +(?:{BETWEEN}))* *$"
)
ANY = re.compile(rf"(?<![\w'-])(?:{any_of((*ADVERBS, *REFUSALS, *PHRASES, *DOUBTS, *FOREIGN))})(?![\w'-])")
END = re.compile(r"[,.;:!?()]+(?: |$)| but ")  # of a clause
DEGREE = re.compile(r"(?<![\w'-])(?:too|so|that|very|really|much|many)(?![\w'-])")
EXCEPTIONS = frozenset(
    ("except", "without", "minus", "excluding")
)  # behind what is refused: "no pop except by Queen"
NARROWS = re.compile(r"(?:no|nothing|without|avoid|skip|exclude|excluding|except|minus|hates?|dislikes?)\b")
NARROWED = re.compile(
    r"(?: (?:songs?|tracks?|music|ones?|stuff))? (?:from|by|of|in|before|after|since|that|which) "
)
TURNED = {"years": "no_years", "languages": "no_languages"}


@dataclass(frozen=True)
class Denial:
    """How something is denied.

    Attributes:
        scope: `near`: the denial is said of it. `far`: there is one in its clause, and something unread between them. Empty: it is not.
        before: the text before it for what comes later: without a denial that is spent.
        said: the words that deny it, where they are near.
    """

    scope: Scope
    before: str
    said: str = ""

    @property
    def narrows(self) -> bool:
        """Whether what follows the denied may be part of it: "no fast songs by Queen" denies neither all fast songs nor Queen."""
        return self.scope == "near" and NARROWS.match(self.said) is not None


def denial(before: str) -> Denial:
    """How what follows a text is denied."""
    found = NEAR.search(before)
    if found is None:
        return Denial("far" if ANY.search(_clause(before)) else "", before)
    ahead = before[: found.start()]
    twice = ANY.search(_clause(ahead)) and not ahead.endswith(
        (" and ", " or ")
    )  # "not without fast songs" means what nobody can tell
    return Denial("far" if twice else "near", ahead if found["adverb"] else before, found[0])


def _clause(text: str) -> str:
    return END.split(text)[-1]


def turned(told: dict[str, Any], before: str) -> dict[str, Any] | None:
    """Fields of a filter that say the opposite; None where none do.

    Args:
        before: what denies it: "not too familiar" is not the opposite of familiar.
    """
    made: dict[str, Any] = {}
    for name, value in told.items():
        if name in TURNED:
            made[TURNED[name]] = value
        elif name in {"heard", "artist_heard"} and not DEGREE.search(before):
            made[name] = not value
        elif name == "recent" and value[1] is None:
            made[name] = (None, value[0] + 1)
        elif isinstance(value, Band) and (value.low is None or value.high is None):
            made[name] = Band(low=value.high, high=value.low)
        else:
            return None
    return made or None
