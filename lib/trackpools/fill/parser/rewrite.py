"""Prompts in fewer ways of saying: spelling, signs and figures of speech become words that the rules read. What is denied by one word is denied by itself."""

import re

from rapidfuzz import fuzz, process

from trackpools.fill.contract.normalise import Words
from trackpools.fill.parser.entities import HELD, names_one
from trackpools.fill.parser.negation import ADVERBS, DOUBTS, FOREIGN, REFUSALS, any_of
from trackpools.fill.parser.shares import LITTLE, LOTS
from trackpools.fill.parser.templates import DECADE, LANGUAGES, SLOTS, VERSIONS, either

Sub = tuple[re.Pattern[str], str]


def _subs(*pairs: tuple[str, str]) -> tuple[Sub, ...]:
    return tuple((re.compile(pattern), plainly) for pattern, plainly in pairs)


SHORT = {
    one.replace("'", ""): one
    for one in (
        "don't",
        "haven't",
        "isn't",
        "aren't",
        "doesn't",
        "won't",
        "can't",
        "didn't",
        "wouldn't",
        "shouldn't",
        "hasn't",
        "i've",
        "i'm",
        "ain't",
        "mustn't",
    )
}
MISSPELT = (
    "without",
    "except",
    "exclude",
    "nothing",
    "anything",
    "never",
    "avoid",
    "don't",
)  # what is nearly one of these is that one
LIKENESS = 85.0  # the least similarity of a misspelt word, from 0 to 100
SPELT = _subs(
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"(?<=\d),(?=\d{1,2} ?(?:h|hours?|hrs?)\b)", "."),
    (r"(?<=\d)(?=bpm\b)", " "),
    (r" w/o ", " without "),
    (r"> ?(?=\d)", "over "),
    (r"< ?(?=\d)", "under "),
    (r"(?:(?<= )[-!]|[🚫❌👎⛔]️?) ?(?=[^\W\d])", "except "),
    (r"(?:(?<= )\+|[✅👍💚]️?) ?(?=[^\W\d])", ", give "),
    (r"(?<![\w.])(\d{1,3}) ?- ?(?=\d{1,3} (?:songs|tracks)\b)", r"\1 to "),
    (r" (?:#1|no\.? ?1|number (?:1|one))(?:'s)? (?=hits?\b|songs?\b|singles?\b)", " chart toppers "),
)
# "doubtful" stands for a denial of which nobody can tell what it means for the wishes behind it
FEW = r"doesn't|does not|don't|do not|didn't"
START = r"(?:(?<=^ )|(?<=[,.;:!?] )|(?<=and )|(?<=but )|(?<=please )|(?<=you )|(?<=then ))"
HEAD = r"(?:anything|everything|anyone|everyone|any|every|all|whatever)(?: (?:genres?|artists?|bands?|songs?|music|kinds?|styles?|languages?))?"
DENIALS = any_of((*ADVERBS, *REFUSALS, *DOUBTS, *FOREIGN))
OTHERWISE = _subs(
    (r" (?:can't|cannot|can not) (?:get enough of|wait (?:for|to)|go wrong with) ", " "),
    (r" (?:nothing beats|why not) ", " "),
    (r" no (?=i (?:want|need|would|like|love|'d)\b)", " "),
    (
        rf" (?:(?:{FEW}) (?:all |always )?(?:have|need) to|need(?:n't| not)|no need (?:to|for)|not necessarily)(?: be)? ",
        " doubtful ",
    ),
    (rf" (?:not|(?:{FEW})(?: \w+)?) (?:only|just|always|exclusively) ", " doubtful "),
    (r" (?:not|never) (?:too )?(?:many|much) ", " doubtful "),
    (r" (?:know|knew) (?:no|nothing)(?: about)? ", " doubtful "),
    (r" (?:there(?:'s| is| are) |heard )?too (?:many|much) ", " doubtful "),
    (
        r" (?:not|isn't|aren't|ain't) (?:really |so |that |very )?(?:in (?:the|a) mood for|into|a (?:big |huge )?fan of|feeling|"
        r"(?:too )?keen on|interested in|up for) ",
        " except ",
    ),
    (
        rf" (?:{HEAD} (?:but|except)|instead of|rather than|(?:something |anything )?other than|apart from|aside from) ",
        " except ",
    ),
    (
        r"(?<!never)(?<!not)(?<!n't) (?:(?:so |really |sick and )?(?:tired|sick|bored) (?:of|with)|fed up (?:with|of)|(?:had |heard )?enough of|had it with|"
        r"can't stand|cannot stand|stay away from|(?:i'm|i am) (?:so )?(?:over|done with|allergic to|against)|steer clear of|get rid of|leave (?:out|off)|"
        r"(?:take|keep|cut) out|stop (?:playing|with)|quit playing|spare (?:me|us)|save (?:me|us) from|free of|(?:barely|hardly) any|can do without|zero|0 ?%|"
        r"excl\.?) ",
        " except ",
    ),
    (rf"{START}(?:drop|cut|lose|hold|block|ban|remove|ditch|screw|fuck|mute) ", "except "),
    (r" non[- ](?!explicit|mainstream|stop)(?=\w)", " except "),
    (r" ([\w'&-]+)-free(?= )", r" except \1"),
    (
        r" (?:songs?|tracks?|music|stuff|something|anything|artists?|bands?|more|playlist|sounds?|vibes?)(?: that sounds?)? like ",
        " songs akin ",
    ),
    (
        r" (?:in the (?:style|vein|spirit) of|similar to|sound(?:s|ing) like|(?:influenced|inspired) by|reminiscent of|along the lines of) ",
        " akin ",
    ),
    (r" (something|anything|music|songs?) (\w+) like ", r" \1 \2 akin "),
    (r" covers of ", " akin "),
    (
        rf"(?:(?<=^ )|(?<=[,.;] )|(?<=but ))((?:(?!(?:{DENIALS}) )[\w']+ ){{1,4}})(?:is|are) (?:fine|ok|okay|good|welcome|allowed)\b",
        r"doubtful \1, ",
    ),
    # of two that are compared the second is none that is wanted
    (r" > (?=[a-z])", " doubtful "),
    (r"(?<!no)(?<!not) more than (?=[a-z])", " doubtful "),
    (r" rather (?:hear |have |listen to |play )?(.{1,30}?) than ", r" \1 doubtful "),
    (r" prefer (.{1,30}?) (?:to|over) ", r" \1 doubtful "),
    (r" (?:swap|replace|trade) (.{1,30}?) (?:for|with|by) ", r" except \1 , "),
    (rf" (?:maybe|perhaps|and maybe|and perhaps) (?=(?:{LITTLE}) )", " and "),
    (rf",(?: and)* (?=(?:{LITTLE}|{LOTS}) )", " and "),
    (
        r"((?:\d ?%| percent| half)(?: of (?:it|them|the songs))?) (?:songs )?(?:that )?i (?:already )?(?:know|love|heard)(?=[ ,.;!?])",
        r"\1 songs i know",
    ),
    (
        r"((?:\d ?%| percent| half|\d)(?: of (?:it|them|the songs))?) (?:that )?i (?:don't|do not|haven't)(?: know| heard)?(?= *(?:[,.;!?]|$))",
        r"\1 new songs",
    ),
    (
        r"((?:\d ?%| percent| half)(?: of (?:it|them))?) (new|unknown|unheard)(?= *(?:[,.;]|and |$))",
        r"\1 \2 songs",
    ),
)
# how a playlist begins or ends is no wish for all of it
ENDS = re.compile(
    r"(?<![\w'-])(?:(?P<begin>start|begin|open|kick)|(?:end|finish|close|conclude))(?:s|n?ing|es)?(?: off| out| up)?(?: it| the playlist| things)? (?:with|on) "
    r"(?P<what>(?!a warm[ -]?up|a cool[ -]?down|\d|the (?:song|track)s? |zqtitle)[^,.;:!?]+?)"
    r"(?=(?:,? and|,? then|,? but)+ (?:start|begin|open|end|finish|close?|get|go|build|move?|progress|slow|ramp|wind|speed)(?:s|t?n?ing|es)?\b"
    r"| (?:getting|going|building|ending|finishing|moving|speeding|slowing|winding)\b|[,.;:!?]|(?:,| and)* then | *$)"
)
CALM, WILD = (re.compile(rf"(?<![\w'-]){SLOTS[slot]}(?![\w'-])(?: energy)?") for slot in ("calm", "wild"))
THEN = re.compile(r"(?:,| and)* then ")
ONE_SONG = re.compile(r"an? (?:\S+ ){0,3}(?:song|track|tune|ballad|banger)\b")
PLAIN = re.compile(
    r"(?:some|something|songs?|tracks?|music|ones?|an?|the|and|very|really|tempo|stuff|bit)(?![\w'-])|[^\w]+"
)
# who wants others than those who were named before; from where a sentence begins: else a long prompt takes seconds
ELSE = re.compile(
    r"(?<![^.;:!?])(?P<named>[^.;:!?]+),? (?:but |so |and |now |please ){0,3}"
    r"(?:(?:give me|play(?: me)?|i want|i need|find(?: me)?|show me|recommend|let's hear) )?"
    r"(?:some )?(?:something else|someone else|anything else|(?:something|someone|artists?) different|other (?:artists|bands|singers|people|music))(?= )"
)
SIMILAR = re.compile(
    r"(?<= )(?P<names>(?:[^\s,]+, ){0,9}[^\s,]+),? (?:and|or) (?:similar|other)(?: artists| bands| singers)?(?=[ ,.;!?])"
)
EACH_OF = re.compile(
    r"(?P<n>\d{1,2}|two|three|four|five|six|ten) (?:songs|tracks)? ?(?:from|by|of) each (?:of )?:?(?P<list>[^.;:!?]+)"
)
NUMBERED = re.compile(rf"(?:(?<=[:,] )|(?<=^ ))(?:\d{{1,3}} (?:{HELD}\d+|[^\d,.;:!?])+){{2,}}")
NEXT_NUMBER = re.compile(r" (?=\d{1,3} )")
NOT_LIKED = r"(?:i |we )?(?:hate|dislike|can't stand|don't like|don't want)(?: (?:it|them|that|this))?|i don't|i do not|sucks?"
NOT_LET = (
    r"(?:(?:is|are) (?:not|no)|isn't|aren't) (?:allowed|welcome|included|ok|okay|wanted|good|for me|my thing|my cup of tea)|"
    r"not (?:allowed|welcome|included|wanted)|"
    r"(?:is |are )?(?:banned|forbidden|excluded|out|awful|terrible|the worst|a no|off limits)"
)
MIXED = re.compile(
    r"(?:a )?(?:mix|mixture|blend|combination) of ((?:[^,.;:!?]{1,40}, ){1,4}(?:[^,.;:!?]{1,40} )?and [^,.;:!?]{1,40})"
)
COMMA = re.compile(r",? and |, ")
AFTER = re.compile(
    r"(?P<name>[\w&/'-]+)(?:[,:?!]+|,? -|,? which|,? \()? ?"
    rf"(?P<said>no|nope|no thanks|no way|{NOT_LIKED}|{NOT_LET})\)?(?=\s*(?:[,.;!?)]|$|but ))"
)
# what was named before is meant by a pronoun: "I heard too much Queen, leave them out"
GONE = re.compile(
    r"(?<![^.;:!?,])([^.;:!?,]+),? (?:(?:leave|keep|cut|take) (?:them|it|those) out|(?:without|skip|avoid|not) (?:them|those))(?= )"
)
DENY = any_of((*REFUSALS, "not", "doubtful"))
DENIED = re.compile(
    rf"(?<![\w'-])(?P<deny>{DENY}):?(?P<rest>(?: (?!(?:{DENY}|but|only|just|give|play|then)(?![\w'-]))[^\s.;:!?()]+)+)"
)
NEXT = re.compile(r"(?P<sep>, (?:or |nor |and )?| (?:or|nor|and) )")
AMOUNT = re.compile(r"(?:\d+|an?|half|[a-z]+teen|twenty|thirty) (?:songs?|tracks?|minutes?|mins?|hours?)\b")
MAYBE = re.compile(r"(?:maybe|perhaps|preferably|ideally|something|some|i|we|just|please)\b")
ARTICLES = re.compile(r"^(?:the|any|in|from|of|from the)? ?")
KINDS = re.compile(
    rf"^(?:{DECADE}|{either(LANGUAGES)}|{either(VERSIONS)}s?|hits|deep cuts)(?: (?:songs?|tracks?|music|versions?))?$"
)
MOODS = r"(?:too |so |very )?(?:fast|slow|loud|quiet|calm|mellow|upbeat|energetic|aggressive|sad|happy|boring|explicit|live|soft|chill|popular|famous|new|old)"
MOODY = re.compile(rf"(?<![\w'-])(no|nothing|hate|without|avoid)((?: too| so| very)? {MOODS}), (?={MOODS}\b)")
LONGEST = 6  # of an item of a list


def spelt(text: str) -> str:
    """The text with apostrophes, signs and numbers as the rules know them; what nearly is a word of denial is that word."""
    words = [SHORT.get(word, word) for word in text.split(" ")]
    text = " ".join(_meant(word) if len(word) > 4 and word.isalpha() else word for word in words)
    return _said(text, SPELT)


def _meant(word: str) -> str:
    near = process.extractOne(word, MISSPELT, scorer=fuzz.ratio, score_cutoff=LIKENESS)
    return near[0] if near and near[0][0] == word[0] and not word.startswith(near[0]) else word


def plainly(text: str) -> str:
    """Figures of speech and comparisons, said by a denial before what they deny; a mix of several, as their sum."""
    once = len(ENDS.findall(text)) == 1
    text = ENDS.sub(
        lambda found: _end(found, alone=once and THEN.match(found.string, found.end()) is None), text
    )
    return MIXED.sub(lambda found: COMMA.sub(" plus ", found[1]), _said(text, OTHERWISE))


def _end(found: re.Match[str], *, alone: bool) -> str:
    """How a playlist begins or ends as an arc.

    Args:
        alone: whether nothing is said of the rest of it: then what it begins with is no wish for all, and nobody can hold it.
    """
    what, begin = found["what"], found["begin"] is not None
    wild, calm = WILD.search(what), CALM.search(what)
    if (wild is None) == (calm is None):
        return f", doubtful {what}, " if ONE_SONG.match(what) else found[0]
    arc = f"{'starts' if begin else 'ends'} {'calm' if calm else 'loud' if begin else 'energetic'}"
    rest = (CALM if calm else WILD).sub("", what)
    return f", {arc}, " + (f"{'doubtful ' if alone else ''}{rest}, " if PLAIN.sub("", rest) else "")


def _akin(found: re.Match[str], words: Words) -> str:
    """A, B and similar: akin to both."""
    names = found["names"].split(", ")
    at = len(names)
    while at and names_one(names[at - 1], words):
        at -= 1
    return (
        ", ".join([*names[:at], *(f"akin {name}" for name in names[at:])]) + " ,"
        if at < len(names)
        else found[0]
    )


def _each_of(found: re.Match[str], words: Words) -> str:
    """5 songs from each of A and B, as 5 of A and 5 of B."""
    names = [one.strip() for one in COMMA.split(found["list"]) if one.strip()]
    if len(names) < 2 or not all(names_one(name, words) for name in names):
        return found[0]
    return ", ".join(f"{found['n']} songs by {name}" for name in names) + " "


def _numbered(said: str, words: Words) -> str:
    """Numbers of names in a row, each behind a comma."""
    items = NEXT_NUMBER.split(said)
    return ", ".join(items) if all(names_one(one.split(" ", 1)[1].strip(), words) for one in items) else said


def _said(text: str, subs: tuple[Sub, ...]) -> str:
    for pattern, said in subs:
        text = pattern.sub(said, text)
    return text


def denied_each(text: str, words: Words) -> str:
    """What is denied afterwards denied before ("pop? no"), and each of a list by itself: "no 80s, rap or hits" is "no 80s, no rap, no hits".

    Args:
        words: names of the catalogue; those of several words are held back in the text.
    """
    text = GONE.sub(r"doubtful \1, ", text)
    text = SIMILAR.sub(lambda found: _akin(found, words), text)
    text = ELSE.sub(
        lambda found: (
            found[0]
            if re.search(rf" (?:{DENIALS}) ", f" {found['named']} ")
            else f" doubtful{found['named']}, "
        ),
        text,
    )
    text = NUMBERED.sub(
        lambda found: _numbered(found[0], words), EACH_OF.sub(lambda found: _each_of(found, words), text)
    )
    text = AFTER.sub(
        lambda found: f"except {found['name']}" if names_one(found["name"], words) else found[0], text
    )
    text = MOODY.sub(r"\1\2, \1 ", text)
    return DENIED.sub(
        lambda found: (
            found["deny"]
            + _each(found["deny"], found["rest"], words, listed=found[0][len(found["deny"])] == ":")
        ),
        text,
    )


def _each(deny: str, rest: str, words: Words, *, listed: bool) -> str:
    """The rest of a denial with the denial before each item.

    Args:
        listed: whether a colon stands before them: then commas are enough.
    """
    told = NEXT.split(rest)
    items, seps = told[::2], told[1::2]
    last = 0
    for at, (sep, item) in enumerate(zip(seps, items[1:], strict=True), 1):
        said = item.strip()
        if (
            not said
            or len(said.split()) > LONGEST
            or AMOUNT.match(said)
            or MAYBE.match(said)
            or ("," in sep and deny == "not")
        ):
            break
        bare = ARTICLES.sub("", said)
        commas = any("," in one for one in seps[:at])
        if (
            "or " in sep
            or listed
            or (
                "and" in sep
                and not commas
                and (KINDS.match(bare) or names_one(bare.split(" ")[0], words) or names_one(bare, words))
            )
        ):
            last = at
    made = items[0] if not listed else f" {items[0].strip()}"
    for at, (sep, item) in enumerate(zip(seps, items[1:], strict=True), 1):
        made += f" , {deny} {item}" if at <= last else f"{sep}{item}"
    return made
