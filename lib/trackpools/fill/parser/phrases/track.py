"""Phrases on single tracks: heard or not, known or not, how fast, in which language, by whose favourites."""

import re
from typing import Any

from trackpools.fill.contract.constraints import Band, Top
from trackpools.fill.parser.phrases.years import NO_DECADE, YEARS
from trackpools.fill.parser.quantities import days, ends, number
from trackpools.fill.parser.templates import LANGUAGES, VERSIONS, phrase

HIT, DEEP = 0.95, 0.7  # percentiles of listeners: the popularity bands of recording_facts
HITS, CUTS = Band(low=HIT), Band(high=DEEP)
Found = re.Match[str]
Told = dict[str, Any]


def _quiet(found: Found) -> Told:
    return {"quiet_days": days(found)}


def _top(found: Found) -> Told:
    told = found.groupdict()
    window = days(found) if told.get("win_unit") or told.get("win_this") else None
    return {"top": Top(count=min(max(round(number(told["n"])), 1), 50) if told.get("n") else 10, days=window)}


def _language(found: Found) -> Told:
    more = found.groupdict().get("language2")
    return {"languages": (LANGUAGES[found["language"]], *([LANGUAGES[more]] if more else []))}


# what is refused of every track, before all else is read: fields of Filter
REFUSED = (
    NO_DECADE,
    phrase(
        {"clean": True},
        "(no|without|nothing|not) [any] [<song>] [with|that have|that contain] (explicit|swearing|swear words|profanity|cursing|bad language|dirty) "
        "[lyrics|content|language|words|<song>]",
        "clean [versions|lyrics|<kept_song>]",
        "clean only",
        "(family|kid|kids|child)-friendly",
        "safe for (work|kids|children)",
        "suitable for (kids|children)",
        "for the whole family",
        "non-explicit",
        examples=(
            "clean",
            "no explicit lyrics",
            "family friendly",
            "kid-friendly",
            "safe for work",
            "without swearing",
        ),
    ),
    phrase(
        lambda found: {"no_versions": (VERSIONS[found["version"]],)},
        "<no> <version>(s|d)? [versions|recordings|tracks|songs|albums|mixes]",
        examples=("no live versions", "without remixes", "no covers", "no karaoke", "not live"),
    ),
    phrase(
        {"no_versions": ("live", "remix", "acoustic", "demo", "cover", "karaoke")},
        "(studio|original) (versions|recordings|version) [only]",
        "originals only",
        "only originals",
        "only (studio|original) (versions|recordings)",
        examples=("studio versions only", "only originals"),
    ),
    phrase(
        lambda found: {"no_languages": (LANGUAGES[found["language"]],)},
        "<no> [songs|lyrics|music] [in] <language> [language] [songs|lyrics|tracks|music]",
        examples=("no english songs", "nothing in english"),
    ),
)
# what single tracks are: fields of Filter
TRACK = (
    phrase(
        _top,
        "my [all-time] (top|favourite|favorite|most (played|heard|listened|listened to)) [<n>] (artists|bands|singers) "
        "[of|from|in|over|for] [all time|<window>]",
        "[the] (artists|bands|singers) i (listen to|play|like|love|hear) [the] most",
        "[my] top [<n>] (artists|bands) [of|from|in|over|for] [all time|<window>]",
        examples=(
            "my top artists of five years",
            "my favourite artists",
            "my top 5 artists of the last month",
            "artists i listen to most",
            "my most played artists this year",
        ),
    ),
    phrase(
        {"artist_heard": False},
        "(artists|bands|singers) [that|which] [i|i've|i] <never> [even] (<met>|hear|heard of) [before|yet|of]",
        "new [to me] (artists|bands|singers)",
        "(artists|bands|singers) [that are] new to me",
        "(unknown|unfamiliar|undiscovered) (artists|bands|singers)",
        "no (artists|bands|singers) [that|which] [i|i've|i have] [already] <met> [before|already]",
        examples=("artists i've never heard", "new artists", "bands new to me", "no artists i know"),
    ),
    phrase(
        {"artist_heard": True},
        "(artists|bands|singers) [that|which] (i|i've|i have) [already] (know|heard|played|love|loved|like|listened to)",
        "(familiar|known) (artists|bands|singers)",
        examples=("artists i know", "familiar artists", "bands that i love"),
    ),
    phrase(
        _quiet,
        "(without|skip|except) [any of] [the|any] <song> [that] [i|i've|we|we've] <met> [in|within] <window>",
        "(nothing|no <song>|none) [that|which] [i|i've|i have|we|we've] [have|had] [already] <met> [in|within|over|during|for|"
        "since] <window>",
        "[that|which] [i|i've|i] <never> <met> [them|it|to] [in|within|for|over|during|since] <window>",
        "not <met> [in|within|for|over|during] <window>",
        "<no> repeats [from|of|in] <window>",
        "(older than|at least) <window> (since i|ago) [last] <met> [it|them]",
        examples=(
            "nothing i have heard this month",
            "that i haven't played in the last 3 weeks",
            "not heard for 90 days",
            "nothing i've played recently",
            "i have not heard in a while",
        ),
    ),
    phrase(
        None,
        "[that|which] [i|i've|i have] (<never>|not) <met> [them|it|to] (since|before|after|until) [last|this|the|my] <any>",
        "[i|i've|i have] <never> <had> <any> [<any>] (in|for|since) <window>",
        "[i|i've|i have] <never> <had> <any> [<any>] this (week|month|year)",
        examples=("that i haven't heard since 2024", "not played since last summer"),
    ),
    phrase(
        {"heard": False},
        "[only] (<song>|something|that|which|what) [that|which] [i|i've|i have] <never> [even] (<met>|hear|heard of) [before|yet|of]",
        "[i|i've|i have] <never> [even] (<had>|heard of) [before|yet]",
        "(nothing|no <song>) [that|which] [i|i've|i have] [already] <met> [before|yet|already]",
        "new to me",
        "unheard",
        "unfamiliar",
        "unknown to me",
        "(only|all) new <song>",
        "not <met> [before|yet]",
        "(something|anything|<song>) (new|unknown) [to me]",
        "(new|unknown) <song> [to me]",
        "discoveries",
        "(help me )?discover[y]",
        examples=(
            "that i haven't heard",
            "nothing i know",
            "new to me",
            "songs i've never heard before",
            "only new music",
            "something new",
            "discoveries",
        ),
    ),
    phrase(
        {"heard": True},
        "[only] (<song>|something) [that|which] (i|i've|i have) [already] (know|heard|played|love|loved)",
        "[only] (that|which|what) (i|i've|i have) [already] (know|heard|played|love|loved)",
        "[all] [my] (familiar|favourites|favorites|old favourites|old favorites|favourite songs|favorite songs|favourite tracks|"
        "favorite tracks) [only]",
        "<song> i love",
        examples=("only songs i know", "familiar", "my favourites", "tracks that i've played"),
    ),
    phrase(
        {"popularity": CUTS},
        "(no|not|not the|without|none of the|nothing) [any] [big|biggest|usual|obvious|popular|famous|mainstream] "
        "(hits|hit|singles|chart toppers|popular|mainstream|famous)",
        "least popular [<song>]",
        "unpopular [<song>]",
        "deep-cuts",
        "deep cut",
        "hidden gems",
        "hidden gem",
        "lesser-known [<song>]",
        "less-known [<song>]",
        "obscure [<song>]",
        "rare <song>",
        "rarities",
        "b-sides",
        "under-the-radar",
        "niche",
        "underrated",
        "non-mainstream",
        examples=(
            "deep cuts",
            "hidden gems",
            "no hits",
            "nothing mainstream",
            "lesser-known songs",
            "under the radar",
        ),
    ),
    phrase(
        {"popularity": HITS},
        "[only] [the] [big|biggest|greatest|huge|massive|best-known|top] hits",
        "hit songs",
        "chart toppers",
        "chart-topping",
        "(popular|famous|well-known|mainstream|best-known) [<song>]",
        "bangers everyone knows",
        "what everyone is listening to",
        "most popular [<song>]",
        "anthems",
        examples=("the biggest hits", "popular songs", "chart toppers", "well-known tracks", "only hits"),
    ),
    *YEARS,
    phrase(
        lambda found: {"tempo": Band(low=ends(found)[0], high=ends(found)[1])},
        "[between|from] <n> [bpm] (to|and) <m> <bpm>",
        "<n><to><m> <bpm>",
        "(above|over|faster than) <n> [bpm] (and|but) (below|under|slower than) <m> <bpm>",
        examples=("between 120 and 140 bpm", "160-180 bpm", "above 100 and below 130 bpm"),
    ),
    phrase(
        lambda found: {"tempo": Band(low=number(found["n"]))},
        "(above|over|at least|faster than|more than|min|no slower than|not slower than|not under|no less than) <n> <bpm>",
        "<n> <bpm> (or|and) (more|faster|up|above)",
        examples=("over 140 bpm", "at least 120 bpm", "150 bpm or faster"),
    ),
    phrase(
        lambda found: {"tempo": Band(high=number(found["n"]))},
        "(below|under|at most|slower than|less than|max|up to|no faster than|not faster than|not over) <n> <bpm>",
        "<n> <bpm> (or|and) (less|slower|below)",
        examples=("under 100 bpm", "at most 90 bpm"),
    ),
    phrase(
        lambda found: {"tempo": Band(low=number(found["n"]) - 5, high=number(found["n"]) + 5)},
        "[at|of|around|about|roughly|with] <n> <bpm>",
        examples=("around 170 bpm", "at 128 beats per minute"),
    ),
    phrase(
        {"tempo": Band(low=120)},
        "fast[-paced] [tempo]",
        "up-tempo",
        "high-tempo",
        examples=("fast", "uptempo", "high tempo"),
    ),
    phrase(
        {"tempo": Band(low=90, high=120)},
        "mid-tempo",
        "medium (tempo|pace)",
        examples=("mid-tempo", "medium pace"),
    ),
    phrase(
        {"tempo": Band(high=100)},
        "slow [tempo]",
        "down-tempo",
        "low-tempo",
        examples=("slow", "downtempo"),
    ),
    phrase(
        {"energy": Band(low=0.7)},
        "high-energy",
        "(very )?(energetic|upbeat|intense|powerful|pumping|loud|hard-hitting|lively)",
        examples=("high energy", "energetic", "upbeat"),
    ),
    phrase(
        {"energy": Band(high=0.4)},
        "low-energy",
        "[very] (calm|mellow|chill|chilled|relaxed|relaxing|gentle|soft|quiet|peaceful|soothing|laid-back|ambient)",
        examples=("low energy", "calm", "mellow", "relaxing", "laid-back"),
    ),
    phrase(
        _language,
        "[sung] in <language> (or|and) <language2>",
        "<language> (or|and) <language2> (songs|lyrics|tracks|music)",
        "<language> only",
        "only [in] <language>",
        "[sung] in <language>",
        "<language> language [songs|tracks|music|lyrics]",
        "<language> (songs|lyrics|tracks|music|singing)",
        examples=("in spanish", "french songs", "japanese language tracks", "sung in german"),
    ),
)
