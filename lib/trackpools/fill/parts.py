"""A clause's parts: "half rock, half jazz", "rock plus some jazz", "more jazz than rock", "10 rock songs and 5 jazz songs"."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from trackpools.fill.amounts import NUMBER, number
from trackpools.fill.denial import ANY, END
from trackpools.fill.grammar import Phrase

ADDED = re.compile(r"(?: |^)(?:(?:and|with|plus) (?:some|a few|a bit of)|plus|mixed with|along with|together with|as well as)(?= )")
MIX = re.compile(r"(?:a )?(?:mix|mixture|blend|combination) (?:of|between)(?= )|both(?= )|half(?= )")
MORE = re.compile(r" more ((?!than )[^¦]{1,100}?) than (?=\D)")
MORE_SHARE, LESS_SHARE = 0.55, 0.15
SHARES = (
    (re.compile(r"(?:^| )(?:mostly|mainly|primarily|predominantly|chiefly)(?= )"), 0.6),
    (re.compile(r"(?:^| )(?:the other half|half)(?: of (?:it|them))?(?= )"), 0.5),
    (re.compile(r"(?:^| )(?:a|one)[ -]third(?: of (?:it|them))?(?= )"), 1 / 3),
    (re.compile(r"(?:^| )(?:a|one)[ -]quarter(?: of (?:it|them))?(?= )"), 0.25),
    (re.compile(r"(?:^| )(?:at least )?(\d{1,3}) ?(?:%|percent)(?: of (?:it|them))?(?= )"), None),
)
# behind a number of tracks: "20 songs, 5 of them jazz", "10 rock songs and 5 by Air"
UNITS = r"artists?|bands?|albums?|singers?|genres?|days?|weeks?|months?|years?|bpm|beats|minutes?|mins?|hours?|seconds?|percent|%|per|times?|decades?|million"
AGAIN = re.compile(
    rf"(?:(?<=^ )|(?<=and )|(?<=plus )|(?<=then ))(?!(?:an?|one) )(?P<n>{NUMBER}) (?P<kept>)(?:of (?:them|those|it|these)(?: are| should be)? )?"
    rf"(?!(?:{UNITS})\b)(?=\w)")
REST = re.compile(
    r"(?:(?<=^ )|(?<=and )|(?<=plus ))(?:the )?(?:rest|others|remaining (?:ones|songs|tracks))(?: of (?:it|them))?(?: should be| is| are)? (?=\w)")
JOINED = re.compile(r"(?: (?:and|plus|with|then|followed by|as well as))+ *$")


@dataclass(frozen=True)
class Counted:
    """A number of tracks (None: as many as are left), what is said of them, how it was said, whether that alone tells that it is one, and what follows."""

    count: float | None
    text: str
    said: str
    sure: bool
    rest: str


def clauses(text: str) -> Iterator[str]:
    """What commas part; one that begins with an addition belongs to the one before it. What was read whole leaves an empty one."""
    last: str | None = None
    for clause in END.split(text):
        inner = clause.strip(" ¦")
        if last is not None and last.strip(" ¦") and (ADDED.match(inner) or SHARES[1][0].match(inner)):
            last += f" {inner} "
            continue
        if last is not None:
            yield last
        last = f" {clause} "
    if last is not None:
        yield last


def counted(clause: str, phrases: tuple[Phrase, ...], *, again: bool) -> list[Counted]:
    """The numbers of tracks in a clause, each with what follows up to the next, as said of songs; what stands before the first is said of it.

    Args:
        again: whether a number was told before: then "3 from the 90s" is one too.
    """
    sure = [one for phrase in phrases for pattern in phrase.says for one in pattern.finditer(clause)]
    found = [*sure, *AGAIN.finditer(clause), *REST.finditer(clause)] if sure or again else sure
    places: list[re.Match[str]] = []
    for one in sorted(found, key=lambda one: (one.start(), -one.end())):
        if not places or one.start() >= places[-1].end():
            places.append(one)
    made = []
    for at, one in enumerate(places):
        end = places[at + 1].start() if at + 1 < len(places) else len(clause)
        ahead = clause[: one.start()] if at == 0 else ""
        rest = JOINED.sub(" ", clause[one.end():end]).strip()
        text = f"{JOINED.sub(' ', ahead)} {one.groupdict().get('kept') or ''} ¦ songs {rest} "
        made.append(Counted(number(one["n"]) if "n" in one.groupdict() else None, text, one[0].strip(), one in sure, rest))
    return made


def pieces(text: str) -> list[tuple[str, float | None]]:
    """The parts of a clause and their least shares of the tracks; None where it is no part but all."""
    if (more := MORE.search(text)) and not ANY.search(text[: more.start()]):
        return [(f" {text[:more.start()]} {more[1]} ", MORE_SHARE), (f" {text[more.end():]} ", LESS_SHARE)]
    if mix := MIX.search(text):
        sides = re.split(r" and (?:the other half |half )?| half ", text[mix.end():], maxsplit=1)
        if len(sides) == 2:
            return [(f" {text[:mix.start()]} {sides[0]} ", 0.4 + 0.1 * ("half" in mix[0])), (f" {sides[1]} ", 0.4 + 0.1 * ("half" in mix[0]))]
    added = ADDED.search(text)
    if added and text[:added.start()].strip(" ¦"):
        sides = [piece for piece in ADDED.split(text) if piece.strip(" ¦")]
        few = "some" in added[0] or "few" in added[0] or "bit" in added[0]
        return [(f" {side} ", (0.6 if place == 0 else 0.15) if few else round(0.8 / len(sides), 3)) for place, side in enumerate(sides)]
    for pattern, share in SHARES:
        if found := pattern.search(text):
            told = min(int(found[1]), 100) / 100 if share is None else share
            return [(text[:found.start()] + " " + text[found.end():], told)] if told > 0 else [(text, None)]
    return [(text, None)]
