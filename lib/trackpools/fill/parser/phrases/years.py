"""Phrases on when tracks are from: decades, years, the last so many."""

import re
from typing import Any

from trackpools.fill.contract.constraints import Band
from trackpools.fill.parser.quantities import number
from trackpools.fill.parser.templates import phrase

DECADES = {
    "twenties": 1920,
    "thirties": 1930,
    "forties": 1940,
    "fifties": 1950,
    "sixties": 1960,
    "seventies": 1970,
    "eighties": 1980,
    "nineties": 1990,
    "noughties": 2000,
    "two-thousands": 2000,
}
PARTS = {
    "early": (0, 4),
    "mid": (3, 6),
    "late": (5, 9),
    None: (0, 9),
    "first half": (0, 4),
    "second half": (5, 9),
    "beginning": (0, 3),
    "start": (0, 3),
    "middle": (3, 6),
    "end": (7, 9),
}
Found = re.Match[str]
Told = dict[str, Any]


def _first(digits: str | None, word: str | None) -> int:
    """The first year of a decade."""
    if digits is None:
        return DECADES[str(word)]
    two = int(digits.removeprefix("'")[-2:])
    return int(digits) if len(digits) == 4 and digits.isdigit() else (2000 if two <= 20 else 1900) + two


def _decade(found: Found) -> Told:
    first = _first(found["dec"], found["decword"])
    low, high = PARTS[found.groupdict().get("part")]
    return {"years": (Band(low=first + low, high=first + high),)}


def _after_decade(found: Found) -> Told:
    (of,) = _decade(found)["years"]
    return {"years": (Band(low=of.low if found.groupdict().get("since") else of.high + 1),)}


def _until_decade(found: Found) -> Told:
    return {"years": (Band(high=_decade(found)["years"][0].high),)}


def _decades(found: Found) -> Told:
    first, last = _first(found["dec"], found["decword"]), _first(found["dec2"], found["decword2"])
    return {"years": (Band(low=min(first, last), high=max(first, last) + 9),)}


def _before_decade(found: Found) -> Told:
    return {"years": (Band(high=_decade(found)["years"][0].low - 1),)}


def _no_decade(found: Found) -> Told:
    return {"no_years": _decade(found)["years"]}


def _between(found: Found) -> Told:
    low, high = sorted((int(found["year"]), int(found["year2"])))
    return {"years": (Band(low=low, high=high),)}


def _old(found: Found) -> Told:
    return {"recent": (None, round(number(found["n"])))}


def _recent(found: Found) -> Told:
    """Years back from this one, the first and the last: `prompt` knows which one it is."""
    told = found.groupdict()
    if told.get("last"):
        return {"recent": (1, 1)}
    return {"recent": (round(number(told["n"])) if told.get("n") else 1 if told.get("one") else 0, None)}


NO_DECADE = phrase(
    _no_decade,
    "<no> [songs|tracks|music] [from|of] [the] <decade>",
    examples=("no 80s", "nothing from the 2010s"),
)
# fields of Filter, but for `recent`: years back
YEARS = (
    phrase(
        None,
        "[i|who|we|they] [was|were|is] (born|met|married|graduated|founded|grew up) (in|during) [the] (<year>|<decade>)",
        examples=("i was born in 1985", "grew up in the 80s"),
    ),
    phrase(
        _decades,
        "[from|between] [the] <decade> (to|until|till|through|up to) [the] <decade2>",
        "between [the] <decade> and [the] <decade2>",
        "<decade><dash><decade2>",
        examples=("from the 70s to the 90s", "between the 70s and the 90s"),
    ),
    phrase(
        _after_decade,
        "<since> [the] <decade>",
        "[from] [the] <decade> <onwards>",
        "[from] [the] <decade> <upto>",
        "(after|later than|newer than|post) [the] <decade>",
        examples=("since the 90s", "80s to today", "from the 80s onwards", "after the seventies"),
    ),
    phrase(
        _until_decade,
        "[the] <decade> (or|and) (older|earlier|before)",
        examples=("80s or older",),
    ),
    phrase(
        _before_decade,
        "[from] (before|pre|prior to|older than) [the] <decade>",
        "pre-<decade>",
        examples=("before the 80s", "pre-90s"),
    ),
    phrase(
        _decade,
        "[from] [the] <partof> of the <decade>",
        "[from|of|in] [the] [<part>] <decade>",
        examples=("80s", "the nineties", "from the late 1960s", "'70s", "early 2000s", "2010s"),
    ),
    phrase(
        _old,
        "(more than|over|at least) <n> years old",
        "(?<!no )older than <n> years",
        examples=("more than 10 years old", "older than 20 years"),
    ),
    phrase(
        _recent,
        "<no> [<song>] older than <n> (years|year)",
        "(not|less than|under|at most) <n> years old",
        "(newer|younger) than <n> years",
        "(from|of|released in|released within|released during) [the] (last|past) <n> (years|year)",
        "(from|of|released in|released within) [the] past <one>",
        "(from|of|released) this year",
        "this year's [<song>]",
        "(from|of|released) <last>",
        "(new|recent|latest) releases",
        "recently released",
        examples=(
            "no older than 5 years",
            "from the last ten years",
            "released this year",
            "new releases",
            "from last year",
        ),
    ),
    phrase(
        _between,
        "[released] between <year> (and|to|-) <year2>",
        "[released] from <year> (to|until|till|through|-) <year2>",
        "<year><dash><year2>",
        examples=("between 1985 and 1992", "from 1999 to 2004", "1970-1979"),
    ),
    phrase(
        lambda found: {
            "years": tuple(Band(low=int(found[one]), high=int(found[one])) for one in ("year", "year2"))
        },
        "[released] (from|in|of) <year> (and|or) <year2>",
        examples=("from 2024 and 2025", "from 1990 or 1995"),
    ),
    phrase(
        lambda found: {"years": (Band(low=int(found["year"])),)},
        "<no> [songs|tracks|music] (before|older than|from before) <year>",
        "[released] (since|from) <year> (on|onwards|onward|and later|or later)",
        "[released] since <year>",
        "<year> (or|and) (newer|later)",
        "[released] [from|since] [the year] <year> <till> <now>",
        examples=(
            "since 2015",
            "from 1990 to now",
            "nothing before 1990",
            "from 2000 onwards",
            "2018 or later",
        ),
    ),
    phrase(
        lambda found: {"years": (Band(high=int(found["year"])),)},
        "<no> [songs|tracks|music] (after|newer than|past) <year>",
        "[released] (until|till|up to) <year>",
        "<year> (or|and) (older|earlier)",
        examples=("nothing after 1985", "until 1999", "1990 or older"),
    ),
    phrase(
        lambda found: {"years": (Band(low=int(found["year"]) + 1),)},
        "[released] (after|newer than|later than|post) <year>",
        examples=("after 2010", "newer than 2015"),
    ),
    phrase(
        lambda found: {"years": (Band(high=int(found["year"]) - 1),)},
        "[released] [from|older than] (before|pre|prior to|older than) <year>",
        "pre-<year>",
        examples=("before 1970", "older than 1990", "pre-2000"),
    ),
    phrase(
        lambda found: {"years": (Band(low=int(found["year"]), high=int(found["year"])),)},
        "[released] (from|in|of) [the year] <year>",
        examples=("from 1984", "released in 1999"),
    ),
)
