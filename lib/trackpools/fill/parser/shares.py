"""A clause's parts: "half rock, half jazz", "rock plus some jazz", "more jazz than rock", "10 rock songs and 5 jazz songs"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trackpools.fill.parser.negation import ANY, END
from trackpools.fill.parser.quantities import LENGTH, NUMBER, number, seconds
from trackpools.fill.parser.templates import Phrase, phrase

LITTLE, LOTS = r"some|a few|a little|a touch of|a dash of|a bit of", r"lots of|plenty of|a lot of|loads of"
HOW_MUCH = re.compile(rf"(?:(?<= )|^)(?:(?P<little>{LITTLE})|{LOTS})(?= |$)")
ADDED = re.compile(
    rf"(?: |^)(?:(?:and|with|plus) (?:{LITTLE}|{LOTS})|plus|mixed with|along with|together with|as well as)(?= )"
)
MIX = re.compile(r"(?:a )?(?:mix|mixture|blend|combination) (?:of|between)(?= )|both(?= )")
MORE = re.compile(r" more ((?!than )[^¦]{1,100}?) than (?!\d+ )")
MORE_SHARE, LESS_SHARE = 0.55, 0.15
MOSTLY, BESIDE_LOTS = 0.6, 0.3
LIMITED = r"(?P<limit>at most |max(?:imum)? |under |below |less than |fewer than |no more than |not more than |up to |not )?"
SHARES = (
    (r"mostly|mainly|primarily|predominantly|chiefly", MOSTLY),
    (r"(?<!first )(?<!second )half(?![ -]marathon)", 0.5),
    (r"two[ -]thirds|2/3", 2 / 3),
    (r"(?:an? |one[ -])?third|1/3", 1 / 3),
    (r"three[ -]quarters|3/4", 0.75),
    (r"(?:an? |one[ -])quarter|1/4", 0.25),
)
SHARE = re.compile(
    rf"(?:^|(?<= )){LIMITED}(?:at least |(?:and )?the other |the )?(?:(?P<percent>\d{{1,3}}) ?(?:%|percent)|"
    + "|".join(f"(?P<share{n}>{said})" for n, (said, _) in enumerate(SHARES))
    + r"|(?P<rest>rest))(?: (?:of (?:it|them)|should be|is|are))*(?= )"
)
HALF = re.compile(r"(?:and )?(?:the other half|half|the rest)(?= )")
MOST = r"at most|no more than|not more than|max(?:imum)?|up to|only|fewer than|less than|under"
LEAST = r"at least|no (?:less|fewer) than|not (?:less|fewer) than|more than|includ(?:e|ing)|add|featuring"
LIMIT = re.compile(rf"(?:^|(?<= ))(?:(?P<most>{MOST})|(?P<least>{LEAST}))(?: of)? $")
LIMIT_AFTER = re.compile(
    r"(?: in total)?(?: (?:max(?:imum)?|at most|tops|or (?:less|fewer)|at least|min(?:imum)?))(?= |$)"
)
EACH = re.compile(r"(?:from|by|of|for|per) (?:each|every)\b")
# behind a number of tracks: "20 songs, 5 of them jazz", "10 rock songs and 5 by Air"
UNITS = r"artists?|bands?|albums?|singers?|genres?|days?|weeks?|months?|years?|bpm|beats|minutes?|mins?|hours?|seconds?|percent|%|per|times?|decades?|million"
AGAIN = re.compile(
    rf"(?:(?<=^ )|(?<=and )|(?<=plus )|(?<=then )|(?<=with )|(?<=at most )|(?<=at least )|(?<=max )|(?<=only )|(?<=more than ))"
    rf"(?!an? |one (?!by|from))(?P<n>{NUMBER}) (?P<kept>)"
    rf"(?:of (?:them|those|it|these)(?: are| should be)? )?(?!(?:{UNITS})\b)(?=\w)"
)
REST = re.compile(
    r"(?:(?<=^ )|(?<=and )|(?<=plus ))(?:the )?(?:rest|others|remaining (?:ones|songs|tracks))(?: of (?:it|them))?(?: should be| is| are)? (?=\w)"
)
ON_TOP = re.compile(r" (?:and|plus|as well as) $")
FEW = frozenset(("a few", "a couple of", "a couple", "a handful of"))
WITH = re.compile(r"\w (?:and|with|plus) $")
JOINED = re.compile(r"(?: (?:and|plus|with|then|followed by|as well as))+ *$")


# several lengths are parts of one: "20 min chill, 40 min rock" is an hour
SPAN = re.compile(rf"(?<![\w'-])(?:(?:first|about|around) )?{LENGTH}(?: of)?(?![\w'-])")
FOR_SPAN = re.compile(
    rf" (?:then |and then )?(?P<what>[^,.;:!?\d]{{2,60}}?) for (?P<length>{LENGTH})(?=,| then| and|[ .;!?]*$)"
)
SEVERAL = 2
TIMED = "zqminutes"
TIMES = (phrase(lambda found: {"seconds": round(60 * number(found["n"]))}, f"<n> {TIMED}"),)


@dataclass(frozen=True)
class Counted:
    """A number of tracks.

    Attributes:
        count: None is as many as are left.
        ahead: what stands before it, of what nothing is counted.
        text: what is said of them; `said` the number and that, as it stood there.
        sure: whether its words alone tell that it is a number of tracks.
        limit: `most` or `least`, where it is no number but a bound (of a playlist as a whole a number meets both); `more` where it comes on top.
    """

    count: float | None
    ahead: str
    text: str
    said: str
    sure: bool
    limit: str


def clauses(text: str) -> Iterator[str]:
    """What commas part; one that begins with an addition belongs to the one before it. What was read whole leaves an empty one."""
    last: str | None = None
    for clause in END.split(text):
        inner = clause.strip(" ¦")
        if last is not None and last.strip(" ¦") and (ADDED.match(inner) or HALF.match(inner)):
            last += f" {inner} "
            continue
        if last is not None:
            yield last
        last = f" {clause} "
    if last is not None:
        yield last


def timed(text: str, phrases: tuple[Phrase, ...]) -> str | None:
    """The text with its lengths as numbers of TIMED, where it has several and no number of tracks; else None."""
    if len(list(SPAN.finditer(text))) == len(list(FOR_SPAN.finditer(text))):
        text = FOR_SPAN.sub(lambda found: f" , {found['length']} {found['what']} ", text)
    if len(list(SPAN.finditer(text))) < SEVERAL or any(phrase.find(text) for phrase in phrases):
        return None
    return SPAN.sub(lambda found: f"{seconds(found) // 60} {TIMED}", text)


def counted(clause: str, phrases: tuple[Phrase, ...], *, again: bool) -> list[Counted]:
    """The numbers of tracks in a clause, each with what follows up to the next, as said of songs.

    Args:
        again: whether a number was told before: then "3 from the 90s" is one too.
    """
    clause = f" {clause.strip()} "
    sure = [one for phrase in phrases for pattern in phrase.says for one in pattern.finditer(clause)]
    more = [*AGAIN.finditer(clause), *REST.finditer(clause)]
    found = [*sure, *more] if sure or again or len(more) > 1 else sure
    places: list[re.Match[str]] = []
    for one in sorted(found, key=lambda one: (one.start(), -one.end())):
        if not places or one.start() >= places[-1].end():
            places.append(one)
    if (
        len(places) == 1
        and not again
        and places[0].groupdict().get("n") in FEW
        and WITH.search(clause[: places[0].start()])
    ):
        return []  # "rock with a few pop songs" is no playlist of three
    made = []
    for at, one in enumerate(places):
        end = places[at + 1].start() if at + 1 < len(places) else len(clause)
        before = clause[places[at - 1].end() if at else 0 : one.start()]
        rest = JOINED.sub(" ", f"{clause[one.end() : end]} ").strip()
        bound = LIMIT.search(before)
        after = LIMIT_AFTER.match(f" {rest}")
        told = one.groupdict()
        each = EACH.match(rest)
        most, least = (
            each or after or told.get("most_of") or (bound and bound["most"]),
            bound or told.get("least_of"),
        )
        limit = "most" if most else "least" if least else "more" if ON_TOP.search(before) else ""
        ahead = clause[: bound.start() if bound else one.start()] if at == 0 else ""
        if (
            again and ahead and limit in {"", "more"} and WITH.search(ahead)
        ):  # "10 songs, rock and 3 by Queen"
            made.append(Counted(None, "", JOINED.sub(" ", ahead), ahead.strip(), False, ""))
            ahead = ""
        said = f"{bound[0] if bound else ''}{one[0].strip()} {rest}".strip()
        text = f" {(told.get('kept') or '').strip()} songs {rest[max(after.end() - 1, 0) :].strip() if after else rest} ".replace(
            "  ", " "
        )
        made.append(Counted(_number(told), JOINED.sub(" ", f"{ahead} "), text, said, one in sure, limit))
    return made


def _number(told: dict[str, str | None]) -> float | None:
    """More than 20 are at least 21."""
    if told.get("n") is None:
        return None
    value = number(str(told["n"]))
    return value + 1 if told.get("more") else value - 1 if told.get("less") else value


def pieces(text: str) -> list[tuple[str, float | None]]:
    """The parts of a clause and their least shares of the tracks; None where it is no part but all, 0 where it is a share that no part can be."""
    if (more := MORE.search(text)) and not ANY.search(text[: more.start()]):
        return [(f" {text[: more.start()]} {more[1]} ", MORE_SHARE), (f" {text[more.end() :]} ", LESS_SHARE)]
    shares = list(SHARE.finditer(text))
    if not all(one["rest"] for one in shares):
        return _shares(text, shares)
    if mix := MIX.search(text):
        sides = text[mix.end() :].split(" and ", 1)
        if len(sides) == 2:
            return [(f" {text[: mix.start()]} {sides[0]} ", 0.4), (f" {sides[1]} ", 0.4)]
    added = list(ADDED.finditer(text))
    return _added(text, added) if added and text[: added[0].start()].strip(" ¦") else [(text, None)]


def _added(text: str, found: list[re.Match[str]]) -> list[tuple[str, float | None]]:
    """What stands ahead and what is added to it: "rock and a bit of jazz", "rock plus jazz"."""
    head, ends = text[: found[0].start()], [*(one.start() for one in found[1:]), len(text)]
    added = [
        (side, HOW_MUCH.search(one[0]))
        for one, end in zip(found, ends, strict=True)
        if (side := text[one.end() : end]).strip(" ¦")
    ]
    sides = [head, *(side for side, _ in added)]
    if not any(said for _, said in added):
        return [(f" {side} ", round(0.8 / len(sides), 3)) for side in sides]
    sizes = [_size(said) for said in (HOW_MUCH.match(head.lstrip()), *(said for _, said in added))]
    if MOSTLY in sizes[1:]:  # "jazz and lots of rock"
        sizes[0] = min(sizes[0], BESIDE_LOTS)
    most = max(sum(sizes) / 0.9, 1.0)  # some are of anything
    return [(f" {side} ", round(size / most, 3)) for side, size in zip(sides, sizes, strict=True)]


def _size(said: re.Match[str] | None) -> float:
    """The least share of a side by how much of it was asked for."""
    return LESS_SHARE if said and said["little"] else MOSTLY


def _shares(text: str, found: list[re.Match[str]]) -> list[tuple[str, float | None]]:
    """What stands before the first share holds for all, unless shares stand behind what they are of: "rock 70%, jazz 30%"."""
    ahead = text[: found[0].start()]
    texts = [
        JOINED.sub(" ", f"{text[one.end() : after]} ")
        for one, after in zip(found, [*(one.start() for one in found[1:]), len(text)], strict=True)
    ]
    if not texts[-1].strip(" ¦") and ahead.strip(" ¦"):
        texts, ahead = [ahead, *texts[:-1]], ""
    told: list[float] = []
    for one in found:
        told.append(max(1 - sum(told), 0) if one["rest"] else 0 if one["limit"] else _share(one))
    parts: list[tuple[str, float | None]] = []
    for one, piece, share in zip(found, texts, told, strict=True):
        sides = (
            [piece]
            if share == 0 or len(found) > 1
            else [side for side in ADDED.split(piece) if side.strip(" ¦")] or [piece]
        )
        parts += [
            (f" {one[0] if share == 0 else ''} {side} ", share if at == 0 else LESS_SHARE)
            for at, side in enumerate(sides)
        ]
    return [*([(f" {ahead} ", None)] if ahead.strip(" ¦") else []), *parts]


def _share(found: re.Match[str]) -> float:
    if found["percent"] is not None:
        return min(int(found["percent"]), 100) / 100
    return next(share for n, (_, share) in enumerate(SHARES) if found[f"share{n}"] is not None)
