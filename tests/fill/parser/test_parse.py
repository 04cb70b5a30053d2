"""Tests of the rules that read prompts.

Every documented phrase is read as documented, whole prompts as they are meant, and what is not read is
reported.
"""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from catalogues import YEAR, read
from trackpools.fill.contract.constraints import MAX_PROMPT_CHARS, Band, Constraints, Filter, Part, Top
from trackpools.fill.contract.normalise import Words, plain, tidy
from trackpools.fill.parser.negation import ADVERBS, ANY, DOUBTS, FOREIGN, REFUSALS
from trackpools.fill.parser.phrases.grammar import GRAMMAR
from trackpools.fill.parser.stopwords import DEGREES, FILLER

WORDS = Words.of(
    ["Radiohead", "The National", "Air", "Bon Iver", "Yes", "Beyoncé", "AC/DC"],
    ["rock", "jazz", "hip hop", "chill", "indie pop", "electronic", "metal"],
)
EXAMPLES = [
    (kind, phrase, example)
    for kind, phrases in GRAMMAR.items()
    for phrase in phrases
    for example in phrase.examples
]


def test_the_grammar_documents_more_than_eighty_phrasings():
    assert len({example for _, _, example in EXAMPLES}) >= 80


@pytest.mark.parametrize(("kind", "phrase", "example"), EXAMPLES, ids=[example for _, _, example in EXAMPLES])
def test_an_example_is_read_whole_and_by_the_phrase_that_shows_it(kind, phrase, example):
    said = tidy(example)
    assert next(one for one in GRAMMAR[kind] if one.find(said)) is phrase
    assert phrase.find(said)[0] == said
    understood = read(example)
    if phrase.means(phrase.find(said)) is None:
        assert (understood.constraints, understood.not_applied) == (Constraints(), (plain(example),))
        return
    assert understood.not_applied == ()
    told = phrase.means(phrase.find(said))
    if "recent" in told:
        low, high = (None if back is None else YEAR - back for back in told["recent"])
        told = {"years": (Band(low=low, high=high),)}
    fields = (
        understood.constraints
        if kind == "whole"
        else understood.constraints.prefer
        if kind == "mood"
        else understood.constraints.every
    )
    assert {name: getattr(fields, name) for name in told} == told


def years(low=None, high=None):
    return (Band(low=low, high=high),)


DEEP, HITS = Band(high=0.7), Band(low=0.95)
MEANT = {
    "a 30-minute run, nothing I have heard this month": Constraints(
        seconds=1800,
        every=Filter(quiet_days=30),
        prefer=Filter(tempo=Band(low=140, high=190), energy=Band(low=0.6)),
    ),
    "my top artists of five years plus deep cuts I haven’t heard": Constraints(
        parts=(
            Part(of=Filter(top=Top(days=1825)), share=0.4),
            Part(of=Filter(popularity=DEEP, heard=False), share=0.4),
        ),
        closed=True,
    ),
    "20 chill indie pop songs from the 90s, no Radiohead": Constraints(
        tracks=20,
        every=Filter(tags=("chill", "indie pop"), years=years(1990, 1999), no_artists=("radiohead",)),
    ),
    "half rock, half jazz for dinner, about an hour": Constraints(
        seconds=3600,
        tolerance=0.1,
        parts=(Part(of=Filter(tags=("rock",)), share=0.5), Part(of=Filter(tags=("jazz",)), share=0.5)),
        closed=True,
        prefer=Filter(energy=Band(high=0.5)),
    ),
    "mostly electronic, 120-130 bpm, 25 tracks, different artists": Constraints(
        tracks=25,
        artist_cap=1,
        every=Filter(tempo=Band(low=120, high=130)),
        parts=(Part(of=Filter(tags=("electronic",)), share=0.6),),
    ),
    "a mix of hits and deep cuts by Radiohead": Constraints(
        parts=(
            Part(of=Filter(artists=("radiohead",), artist_rank=Band(high=5)), share=0.4),
            Part(of=Filter(artists=("radiohead",), artist_rank=Band(low=6)), share=0.4),
        ),
        closed=True,
    ),
    "fifteen upbeat songs without metal or Air": Constraints(
        tracks=15, every=Filter(energy=Band(low=0.7), no_tags=("metal",), no_artists=("air",))
    ),
    "rock with some jazz, start slow and build up": Constraints(
        arc="rising",
        parts=(Part(of=Filter(tags=("rock",)), share=0.6), Part(of=Filter(tags=("jazz",)), share=0.15)),
        closed=True,
    ),
    'include "Karma Police" and songs by The National, not heard in the last two weeks': Constraints(
        seeds=("karma police",), every=Filter(artists=("the national",), quiet_days=14)
    ),
    "30% hip-hop, songs under 4 minutes, no songs I've played this week": Constraints(
        parts=(Part(of=Filter(tags=("hip hop",)), share=0.3),),
        every=Filter(seconds=Band(high=240), quiet_days=7),
    ),
    "songs from the 60s and 70s but no Yes": Constraints(
        every=Filter(years=(*years(1960, 1969), *years(1970, 1979)), no_artists=("yes",))
    ),
    "play something by Bon Iver I've never heard": Constraints(
        every=Filter(artists=("bon iver",), heard=False)
    ),
    "an hour of beyonce and AC DC, at most 3 songs per artist": Constraints(
        seconds=3600, artist_cap=3, every=Filter(artists=("beyonce", "ac dc"))
    ),
    "songs by Radiohead, Beyonce and Yes": Constraints(every=Filter(artists=("radiohead", "beyonce", "yes"))),
    "songs by Beyonce": Constraints(every=Filter(artists=("beyonce",))),
    "a playlist of songs for the evening": Constraints(),
    "": Constraints(),
}


@pytest.mark.parametrize("prompt", MEANT)
def test_a_prompt_is_read_as_it_is_meant(prompt):
    assert read(prompt, WORDS).constraints == MEANT[prompt]


def test_words_not_understood_are_reported_and_change_nothing():
    understood = read("happy songs about love in french, like that one film", WORDS)
    assert understood.constraints == Constraints(every=Filter(languages=("fr",)))
    assert understood.not_applied == ("happy", "love", "film")


def test_a_tag_of_the_catalogue_goes_before_the_mood_of_the_same_name():
    assert read("chill", WORDS).constraints.every == Filter(tags=("chill",))
    assert read("chill").constraints.every == Filter(energy=Band(high=0.4))


def test_an_artist_of_one_common_word_counts_only_where_the_prompt_names_artists():
    assert read("yes please, music in the air", WORDS).constraints == Constraints()
    assert read("music by Air", WORDS).constraints.every.artists == ("air",)


def test_words_of_a_name_are_not_read_as_phrases():
    words = Words.of(["The Sleeping Kingdoms", "Fast & Loud", "Simon and Garfunkel"], ["slow rock"])
    assert read(
        "3 songs by The Sleeping Kingdoms, I have never heard, no Fast & Loud", words
    ).constraints == Constraints(
        tracks=3, every=Filter(artists=("the sleeping kingdoms",), heard=False, no_artists=("fast and loud",))
    )
    assert read("slow rock", words).constraints.every == Filter(tags=("slow rock",))
    assert read("zqname7 and zqname0", words).not_applied == ("zqname7", "zqname0")
    assert read("songs by Simon and Garfunkel plus slow rock", words).constraints.parts[0].of == Filter(
        artists=("simon and garfunkel",)
    )


def test_reported_words_have_names_and_no_placeholders():
    assert read("at most 3 songs by The National", WORDS).not_applied == ("at most 3 songs by the national",)


def test_a_prompt_that_is_too_long_is_read_to_the_limit_and_says_so():
    assert "2,000 characters" in read("jazz " * MAX_PROMPT_CHARS, WORDS).not_applied[-1]


@pytest.mark.parametrize(
    "prompt",
    [
        " and ".join(f"{decade}s" for decade in range(1900, 2030, 10)),
        " ".join(f"no {decade}s" for decade in range(1900, 2030, 10)),
        "not heard in the last 99999 years",
        "my top 99999 artists of 99999 decades",
        "99999 hours",
        "0 songs",
        "songs under 0 minutes",
        "0 bpm to 99999 bpm",
        " ".join(f'"title {n}"' for n in range(80)),
        "0% jazz",
        "999% jazz",
        "jazz plus rock plus metal plus chill plus electronic plus indie pop plus hip hop",
    ],
)
def test_absurd_numbers_are_read_within_the_limits(prompt):
    assert read(prompt, WORDS)


@settings(max_examples=150, deadline=1000)
@given(
    st.text(max_size=400)
    | st.lists(
        st.sampled_from(
            [example for _, _, example in EXAMPLES]
            + ["and", ",", "plus", "no", '"', "half", "jazz", "0", "-1", "9" * 30]
        ),
        max_size=12,
    ).map(" ".join)
)
def test_no_text_breaks_the_reader_and_the_same_text_is_read_the_same(prompt):
    assert read(prompt, WORDS) == read(prompt, WORDS)


JOINTS = (
    "but",
    "so",
    "and",
    "now",
    "please",
    "then",
    "with",
    "some",
    "a few",
    "for 10 min",
    "start with",
    "end",
    "other",
    "similar",
    "jazz",
    "radiohead,",
    "5",
    "i know",
    "more",
    "than",
    "no",
    "each of",
)


@settings(max_examples=60, deadline=5000)
@given(st.lists(st.sampled_from(JOINTS), min_size=1, max_size=5))
@example(["so", "and", "now", "please"])
def test_no_prompt_takes_long_to_read_whatever_words_are_repeated(words):
    assert read(f"{' '.join(words)} " * MAX_PROMPT_CHARS, WORDS).not_applied


@given(st.text(max_size=60))
def test_plain_text_is_plain_already(text):
    assert plain(plain(text)) == plain(text)
    assert tidy(tidy(text)) == tidy(text)


REFUSED_ALL = {
    "no fast songs": {"tempo": Band(high=120)},
    "not too fast": {"tempo": Band(high=120)},
    "nothing slow please": {"tempo": Band(low=100)},
    "no calm songs": {"energy": Band(low=0.4)},
    "i don't want energetic music": {"energy": Band(high=0.7)},
    "not too popular": {"popularity": Band(high=0.95)},
    "don't play french songs": {"no_languages": ("fr",)},
    "no more 80s": {"no_years": years(1980, 1989)},
    "no more than 120 bpm": {"tempo": Band(high=120)},
    "not over 120 bpm": {"tempo": Band(high=120)},
    "no discoveries": {"heard": True},
    "don't play jazz": {"no_tags": ("jazz",)},
    "i don't like jazz": {"no_tags": ("jazz",)},
    "anything but jazz": {"no_tags": ("jazz",)},
    "jazz is not for me": {"no_tags": ("jazz",)},
    "i hate metal or jazz": {"no_tags": ("metal", "jazz")},
    "not too fast jazz": {"tempo": Band(high=120), "tags": ("jazz",)},
    "jazz but nothing fast": {"tags": ("jazz",), "tempo": Band(high=120)},
    "no slow or calm songs": {"tempo": Band(low=100), "energy": Band(low=0.4)},
    "i'm not in the mood for jazz": {"no_tags": ("jazz",)},
    "tired of jazz": {"no_tags": ("jazz",)},
    "i've had enough of metal": {"no_tags": ("metal",)},
    "i don't want to hear anything new": {"heard": True},
    "no artists i know": {"artist_heard": False},
    'not "karma police"': {"no_titles": ("karma police",)},
    'without "karma police"': {"no_titles": ("karma police",)},
    'don\'t play "karma police", jazz': {"no_titles": ("karma police",), "tags": ("jazz",)},
    "no jazz, rock or metal": {"no_tags": ("jazz", "rock", "metal")},
    "no jazz, rock, or metal": {"no_tags": ("jazz", "rock", "metal")},
    "neither jazz nor metal": {"no_tags": ("jazz", "metal")},
    "songs no jazz, rock or metal": {"no_tags": ("jazz", "rock", "metal")},
    "not jazz and not too slow": {"no_tags": ("jazz",), "tempo": Band(low=100)},
    "no jazz and no metal": {"no_tags": ("jazz", "metal")},
    "no songs with explicit lyrics": {"clean": True},
    "no songs over 5 minutes": {"seconds": Band(high=300)},
    "no songs under 2 minutes": {"seconds": Band(low=120)},
    "rock instead of jazz": {"tags": ("rock",), "no_tags": ("jazz",)},
    "can't get enough of jazz": {"tags": ("jazz",)},
    "no jazz, 80s rock": {"no_tags": ("jazz",), "tags": ("rock",), "years": years(1980, 1989)},
    "no live versions, from the 80s": {"no_versions": ("live",), "years": years(1980, 1989)},
    "no older than 5 years": {"years": years(2021)},
    "rock from the last ten years": {"tags": ("rock",), "years": years(2016)},
    "songs by artists i've never heard": {"artist_heard": False},
    "not listening to jazz today": {"no_tags": ("jazz",)},
    "not by radiohead": {"no_artists": ("radiohead",)},
    "radiohead's songs": {"artists": ("radiohead",)},
    "the national's best songs": {"artists": ("the national",)},
}


REFUSED_ALL |= {
    "nothing over 6 minutes": {"seconds": Band(high=360)},
    "nothing under 2 minutes": {"seconds": Band(low=120)},
    "nothing from the 80s or 90s": {"no_years": (*years(1980, 1989), *years(1990, 1999))},
    "everything but the 80s and 90s": {"no_years": (*years(1980, 1989), *years(1990, 1999))},
    "nothing before 1990 or after 2010": {"years": years(1990, 2010)},
    "no loud, fast songs": {"energy": Band(high=0.7), "tempo": Band(high=120)},
    "no explicit or slow songs": {"clean": True, "tempo": Band(low=100)},
    "no hits or radiohead": {"popularity": DEEP, "no_artists": ("radiohead",)},
    "no jazz, metal or hits": {"no_tags": ("jazz", "metal"), "popularity": DEEP},
    "no german songs or french songs": {"no_languages": ("de", "fr")},
    "no covers or remixes": {"no_versions": ("cover", "remix")},
    "no jazz only rock": {"no_tags": ("jazz",), "tags": ("rock",)},
    "instead of jazz give me metal": {"no_tags": ("jazz",), "tags": ("metal",)},
    "all genres but jazz": {"no_tags": ("jazz",)},
    "anyone but radiohead": {"no_artists": ("radiohead",)},
    "jazz no": {"no_tags": ("jazz",)},
    "rock, jazz? hate it": {"tags": ("rock",), "no_tags": ("jazz",)},
    "metal is not allowed": {"no_tags": ("metal",)},
    "metal, which i hate": {"no_tags": ("metal",)},
    "rock i like but jazz i don't": {"tags": ("rock",), "no_tags": ("jazz",)},
    "rock -metal": {"tags": ("rock",), "no_tags": ("metal",)},
    "❌ jazz ✅ rock": {"tags": ("rock",), "no_tags": ("jazz",)},
    "exclude: jazz, metal": {"no_tags": ("jazz", "metal")},
    "rock w/o metal": {"tags": ("rock",), "no_tags": ("metal",)},
    "leave out radiohead": {"no_artists": ("radiohead",)},
    "drop the jazz": {"no_tags": ("jazz",)},
    "zero jazz": {"no_tags": ("jazz",)},
    "non-rock": {"no_tags": ("rock",)},
    "withour jazz": {"no_tags": ("jazz",)},
    "exept jazz": {"no_tags": ("jazz",)},
    "i dont like jazz": {"no_tags": ("jazz",)},
    '"creep" must not be in it': {"no_titles": ("creep",)},
    "nothing by artists i know": {"artist_heard": False},
    "nothing from the last 5 years": {"years": years(None, 2020)},
    "after 2000 but before 2010": {"years": years(2001, 2009)},
    "rock from the 90s but nothing after 1995": {"tags": ("rock",), "years": years(1990, 1995)},
    "70s to 90s": {"years": years(1970, 1999)},
    "80s to today": {"years": years(1980)},
    "the first half of the 90s": {"years": years(1990, 1994)},
    "songs of 3 minutes": {"seconds": Band(low=160, high=200)},
    "not heard for at least 6 months": {"quiet_days": 180},
    "nothing before 2000 please, jazz and rock": {"years": years(2000), "tags": ("jazz", "rock")},
    "not too fast, maybe jazz or rock": {"tempo": Band(high=120), "tags": ("jazz", "rock")},
    "songs from 2024 and 2025": {"years": (*years(2024, 2024), *years(2025, 2025))},
    "without any of the songs i heard this week": {"quiet_days": 7},
    "radiohead from the 90s only": {"artists": ("radiohead",), "years": years(1990, 1999)},
    "songs over 8 minutes each": {"seconds": Band(low=480)},
    "in french or spanish": {"languages": ("fr", "es")},
    "radiohead and beyonce": {"artists": ("radiohead", "beyonce")},
    "play radiohead": {"artists": ("radiohead",)},
}


@pytest.mark.parametrize("prompt", REFUSED_ALL)
def test_denied_words_are_excluded_or_reversed(prompt):
    understood = read(prompt, WORDS)
    assert understood.constraints == Constraints(every=Filter(**REFUSED_ALL[prompt]))
    assert set(understood.not_applied) <= {"best", "maybe"}


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("not my top artists", "my top artists"),
        ("not for a run", "for a run"),
        ("no clean versions", "clean versions"),
        ("not between 100 and 120 bpm", "between 100 and 120 bpm"),
        ("kein jazz", "jazz"),
        ("sin jazz por favor", "jazz por favor"),
        ("sans jazz", "jazz"),
        ("not only jazz", "jazz"),
        ("haven't heard since 2024", "havent heard since 2024"),
        ("i don't hate jazz", "jazz"),
        ("doesn't have to be rock", "rock"),
        ("i don't want only rock", "rock"),
        ("not only hits", "hits"),
        ("no 80s jazz", "jazz"),
        ("no german rock", "rock"),
        ("no hits from the 80s", "from the 80s"),
        ("no rock from the 80s", "rock"),
        ("no slow jazz", "slow"),
        ("if not rock then jazz", "jazz"),
        ("less jazz", "jazz"),
        ("i know nothing about jazz", "jazz"),
        ("not too many new songs", "new songs"),
        ("in the style of radiohead", "radiohead"),
        ("i heard too much of the national, leave them out", "the national"),
        ("hits are fine", "hits"),
        ("5 star songs", "5 star songs"),
        ("songs like the national or radiohead", "radiohead"),
        ("most popular first", "most popular first"),
        ("songs like the national", "the national"),
        ("no more than 3 jazz songs", "no more than 3 jazz songs"),
        ("at most 20% jazz", "at most 20 jazz"),
        ("less than half jazz", "less than half jazz"),
        ("include 2 songs by radiohead", "include 2 songs by radiohead"),
        ("10 jazz songs and the rest rock", "the rest rock"),
        ("more than 2 songs per artist", "more than 2 songs per artist"),
        ("i was born in 1990", "i was born in 1990"),
        ("not 20 songs", "20 songs"),
        ("i haven't heard radiohead in a while", "i havent heard radiohead in a while"),
        ("only one artist", "only one artist"),
        ("never tired of jazz", "tired"),
        ("no heavy rock", "heavy rock"),
        ("i wouldn't call it jazz", "call"),
        ("nothing without jazz", "jazz"),
        ("no sad 80s songs", "80s"),
        ('i can\'t hear "karma police" again', "karma police"),
        ("don't warm up", "warm up"),
        ("0 songs", "0 songs"),
        ("99999 songs", "99999 songs"),
        ("0 minutes", "0 minutes"),
        ("at most 0 songs per artist", "at most 0 songs per artist"),
    ],
)
def test_denied_words_that_cannot_be_reversed_are_not_applied_and_never_wanted(prompt, left):
    understood = read(prompt, WORDS)
    assert understood.constraints == Constraints()
    assert left in understood.not_applied


def test_the_second_of_two_contradicting_wishes_is_reported():
    understood = read("fast songs slower than 60 bpm", WORDS)
    assert understood.constraints == Constraints(every=Filter(tempo=Band(high=60)))
    assert understood.not_applied == ("fast",)
    assert read("fast songs, slower than 60 bpm", WORDS).not_applied == ("tempo up to 60 bpm",)
    assert read("jazz plus rock plus metal plus chill plus electronic plus indie pop", WORDS).not_applied == (
        "tagged indie pop",
    )


def parts(*of, closed=True, **whole):
    return Constraints(
        **whole, closed=closed, parts=tuple(Part(of=Filter(**told), share=share) for told, share in of)
    )


ROCK, JAZZ, METAL = ({"tags": (name,)} for name in ("rock", "jazz", "metal"))
NUMBERS = {
    "3 songs from the 80s and 3 from the 90s": parts(
        ({"years": years(1980, 1989)}, 0.5), ({"years": years(1990, 1999)}, 0.5), tracks=6
    ),
    "10 rock songs and 5 jazz songs": parts((ROCK, 10 / 15), (JAZZ, 5 / 15), tracks=15),
    "10 rock songs, 5 jazz songs and 5 metal songs, no live versions": parts(
        (ROCK, 0.5), (JAZZ, 0.25), (METAL, 0.25), tracks=20, every=Filter(no_versions=("live",))
    ),
    "20 songs, 5 of them jazz": parts((JAZZ, 0.25), tracks=20, closed=False),
    "20 songs: 10 rock, 10 jazz": parts((ROCK, 0.5), (JAZZ, 0.5), tracks=20),
    "20 songs, 5 jazz and the rest rock": parts((JAZZ, 0.25), (ROCK, 0.75), tracks=20),
    "20 songs, include 3 songs by Radiohead": parts(
        ({"artists": ("radiohead",)}, 0.15), tracks=20, closed=False
    ),
    "5 songs under 2 minutes": Constraints(tracks=5, every=Filter(seconds=Band(high=120))),
    "no more than 15 songs": Constraints(tracks=15),
    "at most an hour": Constraints(seconds=3429),
    "at least an hour": Constraints(seconds=3789),
    "20 songs with one of my favourites": Constraints(tracks=20, every=Filter(heard=True)),
    "20 songs between 1985 and 1992": Constraints(tracks=20, every=Filter(years=years(1985, 1992))),
    "20 songs no jazz, rock or metal": Constraints(
        tracks=20, every=Filter(no_tags=("jazz", "rock", "metal"))
    ),
    "i am making 20 songs with metal": Constraints(tracks=20, every=Filter(tags=("metal",))),
    "more than 30 songs": Constraints(tracks=31),
    "20-30 songs": Constraints(tracks=30),
    "15 songs i've never heard, half jazz half rock": parts(
        (JAZZ, 0.5), (ROCK, 0.5), tracks=15, every=Filter(heard=False)
    ),
    "rock 70% jazz 30%": parts((ROCK, 0.7), (JAZZ, 0.3)),
    "25% jazz and the rest rock": parts((JAZZ, 0.25), (ROCK, 0.75)),
    "20 rock songs, at least 5 by radiohead": parts(
        ({"artists": ("radiohead",)}, 0.25), tracks=20, every=Filter(tags=("rock",)), closed=False
    ),
    "10 by radiohead and 5 by beyonce": parts(
        ({"artists": ("radiohead",)}, 10 / 15), ({"artists": ("beyonce",)}, 5 / 15), tracks=15
    ),
    "twenty five minutes": Constraints(seconds=1500),
    "2½ hours": Constraints(seconds=9000),
    "1,5 hours": Constraints(seconds=5400),
    "45 to 60 minutes": Constraints(seconds=3150, tolerance=0.1429),
    "from fast to slow": Constraints(arc="falling"),
    "no two songs by the same band": Constraints(artist_cap=1),
    "never the same artist twice in a row": Constraints(apart=True),
    "two songs of each artist": Constraints(artist_cap=2),
    "mostly rock, some metal, no jazz": parts(
        (ROCK, 0.6), (METAL, 0.15), every=Filter(no_tags=("jazz",)), closed=False
    ),
    "at most 20 songs no jazz": Constraints(tracks=20, every=Filter(no_tags=("jazz",))),
    "20 min jazz, 40 min rock": parts((JAZZ, 1 / 3), (ROCK, 2 / 3), seconds=3600),
    "an hour: 20 minutes jazz, 40 minutes rock": parts((JAZZ, 1 / 3), (ROCK, 2 / 3), seconds=3600),
    "45 min of jazz and 45 min more": Constraints(seconds=5400, parts=(Part(of=Filter(**JAZZ), share=0.5),)),
    "gentle at first and then more energy": Constraints(arc="rising"),
    "starts calm and builds up to energetic": Constraints(arc="rising"),
    "end the playlist with something calm": Constraints(arc="falling"),
    "mix of jazz, rock and metal": parts((JAZZ, 0.267), (ROCK, 0.267), (METAL, 0.267)),
    "a half marathon at 160 bpm, jazz": Constraints(
        every=Filter(tags=("jazz",), tempo=Band(low=155, high=165)),
        prefer=Filter(tempo=Band(low=140, high=190), energy=Band(low=0.6)),
    ),
    "more jazz than rock": parts((JAZZ, 0.55), (ROCK, 0.15)),
    "rock with a few jazz songs": parts((ROCK, 0.6), (JAZZ, 0.15)),
    "lots of jazz and a little rock": parts((JAZZ, 0.6), (ROCK, 0.15)),
    "a bit of jazz, a bit of rock, lots of metal": parts((JAZZ, 0.15), (ROCK, 0.15), (METAL, 0.6)),
    "jazz and lots of rock": parts((JAZZ, 0.3), (ROCK, 0.6)),
    "some jazz": Constraints(every=Filter(**JAZZ)),
    "10 songs, rock and 3 jazz tracks": parts((ROCK, 0.7), (JAZZ, 0.3), tracks=10),
    "15 tracks: 5 jazz 5 hip hop 5 metal": parts(
        (JAZZ, 1 / 3), ({"tags": ("hip hop",)}, 1 / 3), (METAL, 1 / 3), tracks=15
    ),
    "2 songs by each of beyonce and the national": parts(
        ({"artists": ("beyonce",)}, 0.5), ({"artists": ("the national",)}, 0.5), tracks=4
    ),
    "slow songs for 10 min then fast ones for 30 min": parts(
        ({"tempo": Band(high=100)}, 0.25), ({"tempo": Band(low=120)}, 0.75), seconds=2400
    ),
    "80% i know, 20% new": parts(({"heard": True}, 0.8), ({"heard": False}, 0.2), closed=False),
    "half i know, half i don't": parts(({"heard": True}, 0.5), ({"heard": False}, 0.5)),
    "beyonce and jazz": parts(({"artists": ("beyonce",)}, 0.4), ({"tags": ("jazz",)}, 0.4)),
    "jazz or radiohead from the 90s": parts(
        ({"artists": ("radiohead",)}, 0.4), (JAZZ, 0.4), every=Filter(years=years(1990, 1999))
    ),
    "jazz by radiohead": Constraints(every=Filter(tags=("jazz",), artists=("radiohead",))),
    "start slow and end with high energy": Constraints(arc="rising"),
    "ending with slow songs": Constraints(arc="falling"),
    "starts with calm jazz and ends with energetic rock": Constraints(
        arc="rising", every=Filter(tags=("jazz", "rock"))
    ),
    "from slowest to fastest": Constraints(arc="rising"),
    "start with a warm up and end with a cool down": Constraints(arc="peak"),
    "no explicit songs, jazz": Constraints(every=Filter(clean=True, tags=("jazz",))),
}


@pytest.mark.parametrize("prompt", NUMBERS)
def test_every_number_of_tracks_is_read(prompt):
    understood = read(prompt, WORDS)
    assert understood.constraints == NUMBERS[prompt]
    assert understood.not_applied == ()


@pytest.mark.parametrize(
    ("prompt", "constraints", "left"),
    [
        ("begin with calm jazz and get faster", Constraints(arc="rising"), "jazz"),
        ("finish with a song by the national, rock", Constraints(every=Filter(**ROCK)), "the national"),
        (
            "rock, from most popular to least popular",
            Constraints(every=Filter(**ROCK)),
            "from most popular to least popular",
        ),
        ("no explicit jazz", Constraints(every=Filter(clean=True)), "jazz"),
        ("the national and similar bands", Constraints(), "the national"),
        ("beyonce, the national and similar", Constraints(), "beyonce"),
        ("jazz like radiohead", Constraints(every=Filter(**JAZZ)), "radiohead"),
        ("i love the national but play other artists", Constraints(), "love the national"),
        ("i heard radiohead a lot, give me something else", Constraints(), "heard radiohead"),
        ("jazz but not the new stuff", Constraints(every=Filter(**JAZZ)), "new stuff"),
        ("jazz, rock and a bit of metal", Constraints(every=Filter(tags=("jazz", "rock"))), "metal"),
        ("cheer me up with some jazz", Constraints(every=Filter(**JAZZ)), "cheer"),
    ],
)
def test_words_that_fit_no_constraint_are_reported_beside_the_constraints(prompt, constraints, left):
    understood = read(prompt, WORDS)
    assert understood.constraints == constraints
    assert left in understood.not_applied


def test_fillers_with_an_apostrophe_are_fillers():
    assert read("i'm after something, let's play jazz", WORDS).not_applied == ("after",)


# After one of these words, the rest of a prompt must never be read as wanted. Any words may stand between,
# except degrees, which use up the denial: "not too loud jazz" asks for jazz.
AGAINST = sorted({*ADVERBS, *REFUSALS, *DOUBTS, *FOREIGN})
BETWEEN = st.lists(
    st.sampled_from(sorted(FILLER - DEGREES))
    | st.from_regex(r"[a-z]{3,7}", fullmatch=True).filter(
        lambda word: plain(word) not in WORDS.tags | {"but"}
    ),
    max_size=4,
)
WANTED = [
    example
    for kind in ("track", "mood")
    for phrase in GRAMMAR[kind]
    for example in phrase.examples
    if not ANY.search(example) and phrase.means(phrase.find(tidy(example)))
]


@settings(max_examples=300, deadline=2000)
@given(st.sampled_from(AGAINST), BETWEEN, st.sampled_from(sorted(WORDS.tags)))
def test_no_name_that_is_denied_is_ever_wanted(word, between, tag):
    understood = read(f"{word} {' '.join(between)} {tag}", WORDS)
    assert all(
        tag not in of.tags
        for of in (
            understood.constraints.every,
            understood.constraints.prefer,
            *(part.of for part in understood.constraints.parts),
        )
    )


@settings(max_examples=300, deadline=2000)
@given(st.sampled_from(AGAINST), BETWEEN, st.sampled_from(WANTED))
def test_no_denied_phrase_keeps_its_meaning(word, between, example):
    alone, understood = read(example), read(f"{word} {' '.join(between)} {example}")
    for mine, theirs in (
        (alone.constraints.every, understood.constraints.every),
        (alone.constraints.prefer, understood.constraints.prefer),
    ):
        assert all(getattr(mine, name) != getattr(theirs, name) for name in mine.set_fields)
