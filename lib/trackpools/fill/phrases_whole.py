"""Phrases on a playlist as a whole: how many, how long, in which order, how much of one artist."""

import re
from typing import Any

from trackpools.fill.amounts import number, seconds
from trackpools.fill.constraints import MOST_SECONDS, MOST_TRACKS, Band
from trackpools.fill.grammar import phrase

Found = re.Match[str]
Told = dict[str, Any]


def _count(found: Found) -> Told:
    return {"tracks": min(max(round(number(found["n"])), 1), MOST_TRACKS)}


def _length(found: Found) -> Told:
    about = found.groupdict().get("about")
    tolerance = {"tolerance": 0.02 if about == "exactly" else 0.1} if about else {}
    return {"seconds": min(max(seconds(found), 60), MOST_SECONDS)} | tolerance


def _cap(found: Found) -> Told:
    return {f"{'album' if found['of'] == 'album' else 'artist'}_cap": min(max(round(number(found["n"])), 1), MOST_TRACKS)}


# before lengths of playlists: fields of Filter
LENGTHS = (
    phrase(
        lambda found: {"seconds": Band(high=60 * number(found["n"]))},
        "[no] [<song>] (under|below|shorter than|less than|up to) <n> (minutes|minute|min) [long|each]",
        "no <song> (over|longer than|above) <n> (minutes|minute|min)",
        examples=("songs under 4 minutes", "no songs over 5 minutes"),
    ),
    phrase(
        lambda found: {"seconds": Band(low=60 * number(found["n"]))},
        "<song> (over|above|longer than|of at least) <n> (minutes|minute|min) [long]",
        examples=("tracks longer than 6 minutes",),
    ),
)
# how a playlist is made as a whole: fields of Constraints
WHOLE = (
    phrase(
        _cap,
        "(at most|no more than|maximum|maximum of|max|max of|up to|only|just|limit of|limit to) <n> "
        "[<song>] (per|by|from|for|of) [each|every|any|any one|an|a|one|the same|single] <of>",
        "<n> [<song>] (per|for each|from each|by each|for every|from every) <of> [at most|max|maximum|only]",
        "[limit] [to] <n> (per|each) <of>",
        examples=(
            "at most two songs per artist", "max 3 per album", "one track per artist", "no more than 2 songs from the same artist",
            "only one song by each artist",
        ),
    ),
    phrase(
        {"artist_cap": 1},
        "no artist (twice|more than once|repeated)", "[all] different (artists|bands)",
        "(don't|never|do not) repeat (artists|an artist|any artist)", "(each|every) artist [only] once", "never the same artist twice",
        "no (repeated|repeat) artists",
        examples=("no artist twice", "different artists", "don't repeat artists", "every artist only once", "no repeated artists"),
    ),
    phrase(
        {"apart": True},
        "(no|never|without|don't play|avoid) [two|2] [songs|tracks] [by|of|from] the same (artist|band|singer) "
        "(in a row|back-to-back|twice in a row|next to each other|side by side|consecutively)",
        "spread [out] the artists", "no back-to-back artists", "don't play the same artist back-to-back",
        examples=("no two songs by the same artist in a row", "spread the artists", "never the same artist back to back"),
    ),
    phrase(
        {"arc": "peak"},
        "[with] [a] warm-up,? [then] [a] peak,? [and|then|and a|and then] [a] cool-down", "[with] [a] peak in the middle",
        "peaking in the middle", "[with] a warm-up and a cool-down",
        "build[s|ing] [it] up[,] (and|then|and then) (cool|calm|wind|slow|come)[s|ing] [back] down",
        examples=("warm-up, peak, cool-down", "a peak in the middle", "with a warm-up and a cool-down", "build up and then cool down"),
    ),
    phrase(
        {"arc": "rising"},
        "start[s|ing] (slow|slowly|calm|calmly|soft|softly|mellow|chill|easy|quiet|quietly|low)[,] [and|then|and then] "
        "[get|gets|end|ends|finish|finishes|build|builds|ramp|ramps|speed|speeds|pick|picks] [it] [up] "
        "[fast|faster|high|hard|loud|strong|energetic|more energetic|upbeat]",
        "build[s|ing] [it] up", "ramp[s|ing] up", "rising energy", "get[s|ting] (faster|more energetic|louder|harder|more intense)",
        "warm[s|ing] up", "warm-up", "increasing (tempo|energy)", "gradually (faster|more energetic)",
        examples=("start slow and build up", "starts mellow, then gets faster", "rising energy", "getting faster", "warm up"),
    ),
    phrase(
        {"arc": "falling"},
        "wind[s|ing] down", "cool[s|ing]-down [at the end]", "calm[s|ing] down", "slow[s|ing] down", "falling energy",
        "get[s|ting] (slower|calmer|quieter)",
        "start[s|ing] (fast|strong|loud|hard|energetic)[,] [and|then|and then] [end|ends|finish|finishes] [calm|slow|soft|quiet|mellow]",
        "end[s|ing] (calm|calmly|slow|slowly|soft|softly|quiet|quietly|mellow)", "decreasing (tempo|energy)",
        examples=("winding down", "cool down at the end", "ends calm", "gets slower", "starts loud and ends quiet"),
    ),
    phrase(
        _length,
        "[<about>] <length> [long|worth|of music|in length|in total|or so]",
        examples=(
            "30-minute", "half an hour", "an hour and 15 minutes", "1h30", "about two hours", "45 mins", "an hour and a half",
            "exactly 60 minutes", "a quarter of an hour",
        ),
    ),
    phrase(
        _count,
        "[<about>] <count>-(song|songs|track|tracks|tunes|titles) [long]", "[<about>] <count> <kept>(songs|tracks|tunes|titles)", "[<about>] <count> <named>",
        examples=("20 songs", "a dozen tracks", "exactly 12 songs", "fifteen upbeat songs", "25-track", "20 deep cuts"),
    ),
)
