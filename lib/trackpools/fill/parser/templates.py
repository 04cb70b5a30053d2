"""Templates of phrases, made into patterns.

A template reads as what people type: `[x]` may be left out, `(x|y)` is either, a dash may be a space or nothing, and `<name>` is one of SLOTS.
Every pattern is of bounded repetition, so that no prompt takes long to read.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trackpools.fill.parser.quantities import HOURS, LENGTH, MINUTES, NUMBER, WINDOW

CUT = " ¦ "  # stands where a phrase was read: nothing is read across it
LANGUAGES = {
    "english": "en",
    "spanish": "es",
    "french": "fr",
    "german": "de",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "swedish": "sv",
    "norwegian": "no",
    "danish": "da",
    "finnish": "fi",
    "icelandic": "is",
    "polish": "pl",
    "czech": "cs",
    "hungarian": "hu",
    "greek": "el",
    "turkish": "tr",
    "russian": "ru",
    "ukrainian": "uk",
    "arabic": "ar",
    "hebrew": "he",
    "hindi": "hi",
    "tamil": "ta",
    "punjabi": "pa",
    "japanese": "ja",
    "korean": "ko",
    "chinese": "zh",
    "mandarin": "zh",
    "cantonese": "yue",
    "vietnamese": "vi",
    "thai": "th",
    "indonesian": "id",
    "swahili": "sw",
    "yoruba": "yo",
    "zulu": "zu",
    "catalan": "ca",
    "basque": "eu",
    "welsh": "cy",
    "irish": "ga",
    "romanian": "ro",
}
VERSIONS = {
    "live": "live",
    "remix": "remix",
    "remixe": "remix",
    "remixed": "remix",
    "remaster": "remaster",
    "remastered": "remaster",
    "cover": "cover",
    "karaoke": "karaoke",
    "acoustic": "acoustic",
    "instrumental": "instrumental",
    "demo": "demo",
    "sped up": "sped_up",
    "sped-up": "sped_up",
    "radio edit": "edit",
    "edit": "edit",
}
DECADE = r"(?:(?P<dec>(?:19|20)\d0|'?[02-9]0)'?s|(?P<decword>twenties|thirties|forties|fifties|sixties|seventies|eighties|nineties|noughties|two-thousands))"


def either(words: Mapping[str, str] | tuple[str, ...]) -> str:
    """A pattern of any of the words, the longest first."""
    return "(?:" + "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True)) + ")"


SLOTS = {
    "n": rf"(?P<n>{NUMBER})",
    "m": rf"(?P<m>{NUMBER})",
    "length": LENGTH,
    "window": WINDOW,
    "decade": DECADE,
    "year": r"(?P<year>(?:19|20)\d\d)",
    "year2": r"(?P<year2>(?:19|20)\d\d)",
    "language": rf"(?P<language>{either(LANGUAGES)})",
    "version": rf"(?P<version>{either(VERSIONS)})",
    "song": r"(?:songs?|tracks?|tunes?|titles?|music|stuff|things?|ones?|numbers?)",
    "no": r"(?:no|without|not|never|skip|avoid|exclude|excluding|nothing|none of|but not|(?:don't|do not) (?:want|play|include)|except(?: for)?|minus)"
    r"(?: any| the)?",
    "met": r"(?:heard|played|listened to|been listening to|know|knew|known)",
    "any": r"[\w']+",
    "had": r"(?:heard|played|listened to|been listening to)",
    "never": r"(?:haven't|have not|'ve not|have never|'ve never|never|didn't|did not|don't|do not)",
    "about": r"(?P<about>exactly|about|around|roughly|approximately|nearly|almost|circa|some)",
    "amount": r"(?:exactly|about|around|roughly|approximately|nearly|almost|circa|some|(?P<most_of>(?:at most|(?:no|not) more than|up to|max|maximum))"
    r"|(?P<least_of>(?:at least|(?:no|not) (?:less|fewer) than))|(?P<more>more than|over)|(?P<less>less than|fewer than|under)"
    r"|(?:between )?\d{1,3} (?:to|or|and))",
    "kept_song": r"(?P<kept>songs?|tracks?|tunes?|titles?|music|stuff|things?|ones?|numbers?)",
    "length_of": r"(?:(?P<mm>\d{1,2}):(?P<ss>[0-5]\d)|(?P<n>"
    + NUMBER
    + r")(?P<half> and a half)?[ -]?(?:minutes?|mins?)|(?P<seconds>\d{1,4}) seconds)",
    "dash": r" ?(?:-|to) ?",
    "till": r"(?:to|until|till|through|up to|-)",
    "now": r"(?:today|now|the present|this day)",
    "decade2": DECADE.replace("<dec>", "<dec2>").replace("<decword>", "<decword2>"),
    "partof": r"(?P<part>first half|second half|beginning|start|end|middle)",
    "language2": rf"(?P<language2>{either(LANGUAGES)})",
    "calm": r"(?:slow|gentle|calm|mellow|chill|chilled|quiet|soft|low|low energy|easy|relaxed)",
    "wild": r"(?:fast|energetic|high|high energy|loud|upbeat|intense|hard|lively)",
    "most": r"(?P<most>at most|no more than|not more than|no longer than|not longer than|less than|under|up to|max|maximum)",
    "least": r"(?P<least>at least|no less than|not less than|no shorter than|not shorter than|more than|over|min|minimum)",
    "since": r"(?P<since>since)",
    "onwards": r"(?P<since>on|onwards|onward|and later|and newer|or newer|or later|and up)",
    "upto": r"(?P<since>(?:to|until|till|up to|through) (?:today|now|the present))",
    "one": r"(?P<one>year)",
    "last": r"(?P<last>last year)",
    "named": r"(?P<kept>deep cuts|hidden gems|hits|favourites|favorites|anthems|rarities|discoveries)",
    "more": r"(?<!no )(?<!not )(?:more than|at least|over|min|minimum|(?:not|no) (?:less|fewer) than)",
    "below": r"(?:under|below|shorter than|less than|up to|(?:no|not) (?:longer|more) than|not over)",
    "unit": r"(?P<unit>minutes?|mins?|hours?|hrs?)",
    "bpm": r"(?:bpm|beats per minute|beats a minute)",
    "to": r" ?(?:-|to|and) ?",
    "count": rf"(?!an? (?!couple|few|handful|dozen|hundred))(?P<n>{NUMBER})",
    "kept": rf"(?P<kept>(?:(?!(?:of|for|from|with|by|per|and|playlist|mix|to|{MINUTES}|{HOURS})\b)[\w&/'-]+ ){{0,4}})",
    "part": r"(?P<part>early|mid|late)",
    "of": r"(?P<of>artist|band|album)",
}


@dataclass(frozen=True)
class Phrase:
    """One meaning and the ways to say it.

    Attributes:
        means: fields of Constraints or of Filter; None of what is recognised and cannot be had: it is told as not applied.
        says: templates; the first that is found counts.
        examples: what tests read and the docs show.
    """

    means: Callable[[re.Match[str]], dict[str, Any] | None]
    says: tuple[re.Pattern[str], ...]
    templates: tuple[str, ...]
    examples: tuple[str, ...]

    def find(self, text: str) -> "re.Match[str] | None":
        """The first way in which the text says it."""
        return next((found for pattern in self.says if (found := pattern.search(text))), None)


def phrase(
    means: Callable[[re.Match[str]], dict[str, Any] | None] | dict[str, Any] | None,
    *templates: str,
    examples: tuple[str, ...] = (),
) -> Phrase:
    """A phrase of templates; without examples the templates are their own."""
    told = means if callable(means) else lambda _: means
    return Phrase(told, tuple(pattern_of(one) for one in templates), templates, examples or templates)


def pattern_of(template: str) -> re.Pattern[str]:
    """The pattern of a template, of whole words."""
    words = _words(template)
    lead = next(place for place, word in enumerate(words) if not _is_optional(word))
    said = "".join(rf"(?:{_inside(word)} )?" for word in words[:lead]) + _inside(words[lead])
    said += "".join(
        rf"(?: {_inside(word)})?" if _is_optional(word) else f" {_inside(word)}" for word in words[lead + 1 :]
    )
    return re.compile(r"(?<![\w'-])" + said + r"(?![\w'])")


def _words(template: str) -> list[str]:
    """What stands between the spaces outside of brackets."""
    words, depth = [""], 0
    for one in template:
        depth += (one in "[(") - (one in "])")
        if one == " " and depth == 0:
            words.append("")
        else:
            words[-1] += one
    return words


def _is_optional(word: str) -> bool:
    return word.startswith("[") and word.endswith("]") and word.count("[") == 1


def _inside(word: str) -> str:
    """The pattern of a word: of one that may be left out as it is where it is not."""
    kept = word[1:-1] if _is_optional(word) else word
    made = re.sub(r"\[([^\[\]]*)\]", r"(?:\1)?", re.sub(r"\((?!\?)", "(?:", kept)).replace("-", "[ -]?")
    return "(?:" + re.sub(r"<(\w+)>", lambda slot: SLOTS[slot[1]], made) + ")"
