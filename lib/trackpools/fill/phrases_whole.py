"""Phrases on a playlist as a whole: how many, how long, in which order, how much of one artist."""

import re
from typing import Any

from trackpools.fill.amounts import number, seconds
from trackpools.fill.constraints import MOST_SECONDS, MOST_TRACKS, Band
from trackpools.fill.grammar import phrase

Found = re.Match[str]
Told = dict[str, Any]
AROUND = 0.05  # the tolerance of lengths that say nothing of theirs


def _count(found: Found) -> Told:
    return {"tracks": round(number(found["n"]))}


def _length(found: Found) -> Told | None:
    told = seconds(found)
    about, most, least = (found.groupdict().get(name) for name in ("about", "most", "least"))
    if not 60 <= told <= MOST_SECONDS:
        return None
    if most or least:  # the length that is meant is the end of what counts as it
        return {"seconds": round(told / (1 + AROUND if most else 1 - AROUND))}
    return {"seconds": told} | ({"tolerance": 0.02 if about == "exactly" else 0.1} if about else {})


def _cap(found: Found) -> Told | None:
    most = round(number(found["n"]))
    return {f"{'album' if found.groupdict().get('of') == 'album' else 'artist'}_cap": most} if 1 <= most <= MOST_TRACKS else None


# before lengths of playlists: fields of Filter
LENGTHS = (
    phrase(
        lambda found: {"seconds": Band(high=60 * number(found["n"]))},
        "[<kept_song>] (under|below|shorter than|less than|up to|no longer than|not longer than|no more than|not over) <n> <minutes> (each|apiece)",
        "<kept_song> (under|below|shorter than|less than|up to|no longer than|not longer than) <n> <minutes> [long]",
        "[<kept_song>] shorter than <n> <minutes>",
        examples=("songs under 4 minutes", "shorter than 3 minutes", "tracks no longer than 5 minutes"),
    ),
    phrase(
        lambda found: {"seconds": Band(low=60 * number(found["n"]))},
        "<kept_song> (over|above|longer than|more than|of at least|at least) <n> <minutes> [long|each]",
        examples=("tracks longer than 6 minutes", "songs over 5 minutes"),
    ),
)
# how a playlist is made as a whole: fields of Constraints
WHOLE = (
    phrase(
        _cap,
        "(at most|no more than|not more than|maximum|maximum of|max|max of|up to|only|just|limit of|limit to) <n> "
        "[<song>] (per|by|from|for|of) [each|every|any|any one|an|a|one|the same|single] <of>",
        "<n> [<song>] (per|for each|from each|by each|for every|from every) <of> [at most|max|maximum|only]",
        "[limit] [to] <n> (per|each) <of>", "<n> [<song>] (from|by|of|for) each of",
        examples=(
            "at most two songs per artist", "max 3 per album", "one track per artist", "no more than 2 songs from the same artist",
            "only one song by each artist", "3 songs by each of",
        ),
    ),
    phrase(None, "<n> [<song>] (per|from each|from every) <any>", examples=("one song per decade", "two from each genre")),
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
        "<most> <length> [long|worth|of music|in length|in total]",
        "<least> <length> [long|worth|of music|in length|in total]",
        "[<about>] <length> [long|worth|of music|in length|in total|or so]",
        examples=(
            "30-minute", "half an hour", "an hour and 15 minutes", "1h30", "about two hours", "45 mins", "an hour and a half",
            "exactly 60 minutes", "a quarter of an hour",
        ),
    ),
)
# how many tracks: fields of Constraints
COUNTS = (
    phrase(
        _count,
        "[<amount>] <count>-(song|songs|track|tracks|tunes|titles) [long]", "[<amount>] <count> <kept>(songs|tracks|tunes|titles)",
        "[<amount>] <count> <named>",
        examples=("20 songs", "a dozen tracks", "exactly 12 songs", "no more than 15 songs", "fifteen upbeat songs", "25-track", "20 deep cuts"),
    ),
)
