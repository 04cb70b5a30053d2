"""Numbers, lengths and windows of time as people write them."""

import re

from trackpools.fill.contract.constraints import MAX_DAYS

UNITS = (
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
TENS = {
    word: 10 * (place + 2)
    for place, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
    )
}
WORDS = {
    "a": 1,
    "an": 1,
    "a single": 1,
    "a couple of": 2,
    "a couple": 2,
    "a few": 3,
    "a handful of": 5,
    "half a dozen": 6,
    "a dozen": 12,
    "two dozen": 24,
    "a hundred": 100,
    **{word: place + 1 for place, word in enumerate(UNITS)},
    **TENS,
    **{
        f"{ten}{dash}{unit}": value + place + 1
        for dash in "- "
        for ten, value in TENS.items()
        for place, unit in enumerate(UNITS[:9])
    },
    "one hundred": 100,
    "two hundred": 200,
    "a hundred and fifty": 150,
    "one hundred and fifty": 150,
    "a hundred and twenty": 120,
    "one hundred and twenty": 120,
}
# longest first, so that "a couple of" is not read as "a"
NUMBER = r"(?:\d{1,5}(?:\.\d{1,2})?|" + "|".join(sorted(WORDS, key=len, reverse=True)) + ")"
MINUTES, HOURS = r"(?:minutes?|mins?)", r"(?:hours?|hrs?)"
# m and h only behind digits: "i am" is no minute
LENGTH = (
    rf"(?:(?P<len_hhalf>{NUMBER})[ -]?{HOURS} and a half|(?P<len_halfh>{NUMBER}) (?:and a half|1/2)[ -]{HOURS}"
    rf"|(?P<len_h>{NUMBER})[ -]?{HOURS}(?: and|,)? ?(?P<len_hm>{NUMBER})(?:[ -]?{MINUTES})?"
    rf"|(?P<len_dh>\d{{1,2}}) ?h(?: and|,)? ?(?P<len_dm>\d{{1,2}}) ?(?:{MINUTES}|m)?"
    r"|(?P<len_half>(?:a )?half(?: an| a)?[ -]hour)|(?P<len_quarter>(?:a )?quarter of an hour)|(?P<len_three>three[ -]quarters of an hour)"
    rf"|(?P<len_hours>{NUMBER})[ -]?{HOURS}|(?P<len_minutes>{NUMBER})[ -]?(?:minutes?|mins)"
    rf"|(?P<len_ah>\d{{1,2}}(?:\.\d{{1,2}})?) ?h|(?P<len_am>\d{{1,3}}) ?(?:min|m))"
)
DAYS = {"day": 1, "week": 7, "fortnight": 14, "month": 30, "quarter": 91, "year": 365, "decade": 3650}
LATELY = {"recently": 30, "lately": 30, "a while": 90, "some time": 90, "a long time": 365, "ages": 365}
WINDOW = (
    rf"(?:(?:(?:at least|over|more than|about) )?(?:(?:the |these )?(?:last|past) )?(?:(?P<win_n>{NUMBER}) )?(?P<win_unit>{'|'.join(DAYS)})s?"
    rf"|this (?P<win_this>week|month|quarter|year)"
    rf"|(?P<win_day>today|yesterday)|(?P<win_lately>{'|'.join(LATELY)}))"
)


def number(text: str) -> float:
    """The value of what NUMBER matches."""
    return float(WORDS[text]) if text in WORDS else float(text)


def ends(found: re.Match[str]) -> tuple[float, float]:
    """The lower and the higher of the two numbers of a match, n and m."""
    low, high = sorted((number(found["n"]), number(found["m"])))
    return low, high


def _told(found: re.Match[str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value
        for name, value in found.groupdict().items()
        if name.startswith(prefix) and value is not None
    }


def seconds(found: re.Match[str]) -> int:
    """The length of a match of LENGTH."""
    told = _told(found, "len_")
    for name, fixed in (("half", 1800), ("quarter", 900), ("three", 2700)):
        if name in told:
            return fixed
    if "dm" in told:
        return int(told["dh"]) * 3600 + int(told["dm"]) * 60
    if "hm" in told:
        return round(number(told["h"]) * 3600 + number(told["hm"]) * 60)
    for name, scale, more in (
        ("hhalf", 3600, 1800),
        ("halfh", 3600, 1800),
        ("hours", 3600, 0),
        ("minutes", 60, 0),
        ("ah", 3600, 0),
        ("am", 60, 0),
    ):
        if name in told:
            return round(number(told[name]) * scale) + more
    raise ValueError(f"no length in {found[0]!r}")


def days(found: re.Match[str]) -> int:
    """The length of a match of WINDOW."""
    told = _told(found, "win_")
    if "lately" in told:
        return LATELY[told["lately"]]
    if "day" in told:
        return {"today": 1, "yesterday": 2}[told["day"]]
    if "this" in told:
        return DAYS[told["this"]]
    return min(max(round(number(told.get("n", "1")) * DAYS[told["unit"]]), 1), MAX_DAYS)
