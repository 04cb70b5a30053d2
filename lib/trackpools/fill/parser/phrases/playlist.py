"""Phrases on a playlist as a whole: how many, how long, in which order, how much of one artist."""

import re
from typing import Any

from trackpools.fill.contract.constraints import MAX_PLAYLIST_S, MAX_TRACKS, Band
from trackpools.fill.parser.quantities import ends, number, seconds
from trackpools.fill.parser.templates import phrase

Found = re.Match[str]
Told = dict[str, Any]
NEARLY_S = 20.0  # around the length that a track should have
AROUND = 0.05  # the tolerance of lengths that say nothing of theirs


def _count(found: Found) -> Told:
    return {"tracks": round(number(found["n"]))}


def _span(found: Found) -> float:
    """Seconds of a match of `<length_of>`."""
    if found["mm"]:
        return 60.0 * int(found["mm"]) + int(found["ss"])
    return (
        float(found["seconds"])
        if found["seconds"]
        else 60 * number(found["n"]) + (30 if found["half"] else 0)
    )


def _range(found: Found) -> Told | None:
    low, high = ends(found)
    unit = 3600 if found["unit"].startswith("h") else 60
    middle = (low + high) / 2
    if not 60 <= unit * middle <= MAX_PLAYLIST_S or not 0 < (high - middle) / middle <= 0.5:
        return None
    return {"seconds": round(unit * middle), "tolerance": round((high - middle) / middle, 4)}


def _length(found: Found) -> Told | None:
    told = seconds(found)
    about, most, least = (found.groupdict().get(name) for name in ("about", "most", "least"))
    if not 60 <= told <= MAX_PLAYLIST_S:
        return None
    if most or least:  # the length that is meant is the end of what counts as it
        return {"seconds": round(told / (1 + AROUND if most else 1 - AROUND))}
    return {"seconds": told} | ({"tolerance": 0.02 if about == "exactly" else 0.1} if about else {})


def _cap(found: Found) -> Told | None:
    most = round(number(found["n"]))
    return (
        {f"{'album' if found.groupdict().get('of') == 'album' else 'artist'}_cap": most}
        if 1 <= most <= MAX_TRACKS
        else None
    )


# before lengths of playlists: fields of Filter
LENGTHS = (
    phrase(
        lambda found: {"seconds": Band(high=_span(found))},
        "[<kept_song>] [that are|which are] <below> <length_of> (each|apiece|per song)",
        "<kept_song> [that are|which are] <below> <length_of> [long]",
        "[<kept_song>] shorter than <length_of>",
        "(at most|max|maximum) <length_of> (each|apiece|per song|per track)",
        "(max|maximum) (song|track) length <length_of>",
        "(nothing|none|no <song>) [that is|that's|that are|which are] (over|above|longer than|more than) <length_of> [long]",
        examples=(
            "songs under 4 minutes",
            "shorter than 3 minutes",
            "tracks no longer than 5 minutes",
            "nothing over 6 minutes",
            "songs under 3:30",
        ),
    ),
    phrase(
        lambda found: {"seconds": Band(low=_span(found))},
        "<kept_song> [that are|which are] (over|above|longer than|more than|of at least|at least) <length_of> [long|each]",
        "(over|above|longer than|at least) <length_of> (each|apiece|per song)",
        "(nothing|none|no <song>) [that is|that's|that are|which are] (under|below|shorter than|less than) <length_of> [long]",
        examples=("tracks longer than 6 minutes", "songs over 5 minutes", "nothing under 2 minutes"),
    ),
    phrase(
        lambda found: {"seconds": Band(low=60 * ends(found)[0], high=60 * ends(found)[1])},
        "<kept_song> (between|from) <n> (and|to) <m> (minutes|minute|mins|min) [long]",
        "<n><dash><m>-(minute|min)[s] <kept_song>",
        examples=("songs between 3 and 5 minutes", "3-5 minute songs"),
    ),
    phrase(
        lambda found: {"seconds": Band(low=_span(found) - NEARLY_S, high=_span(found) + NEARLY_S)},
        "<kept_song> (of|around|about) <length_of>",
        "<length_of> <kept_song>",
        examples=("songs of 3 minutes", "songs around 3 minutes", "3 minute songs"),
    ),
)
# how a playlist is made as a whole: fields of Constraints
WHOLE = (
    phrase(
        None,
        "<more> <n> [<song>] (per|by|from|for|of) [each|every|an|one] <of>",
        "[by|from] (at least|at most|only|exactly|over|more than) <n> [different] (artists|bands)",
        "[by|from] (only|just) [one|a single|the same] (artist|band)",
        "all (from|by) (one|the same) (artist|band)",
        "<n> in <m>",
        "<n>-star [<song>]",
        "(most popular|newest|oldest|fastest|slowest|loudest) first",
        "[or] <n> [<song>] each",
        "[from] [the] (most|least) <any> [<song>] to [the] (most|least) [<any>]",
        "[from] [the] (oldest|newest|old|new) to [the] (oldest|newest|old|new)",
        "(sorted|ordered|arranged|in order|in the order) (by|of) <any>",
        "in [reverse] (chronological|alphabetical|random) order",
        examples=(
            "at least 2 songs per artist",
            "by at least 10 different artists",
            "only one artist",
            "one in four",
        ),
    ),
    phrase(
        _cap,
        "(at most|no more than|not more than|maximum|maximum of|max|max of|up to|only|just|limit of|limit to) <n> "
        "[<song>] (per|by|from|for|of) [each|every|any|any one|an|a|one|the same|single] <of>",
        "<n> [<song>] (per|for each|from each|by each|for every|from every) <of> [at most|max|maximum|only]",
        "[limit] [to] <n> (per|each) <of>",
        "<n> [<song>] (from|by|of|for) (each|every) (of|artist|band)",
        "limit [the|each] (artists|artist) to <n> [<song>]",
        examples=(
            "at most two songs per artist",
            "max 3 per album",
            "one track per artist",
            "no more than 2 songs from the same artist",
            "only one song by each artist",
            "3 songs by each of",
        ),
    ),
    phrase(
        None,
        "<n> [<song>] (per|from each|from every) <any>",
        examples=("one song per decade", "two from each genre"),
    ),
    phrase(
        {"apart": True},
        "(no|never|without|don't play|avoid) [two|2] [songs|tracks] [by|of|from] the same (artist|band|singer) "
        "(in a row|back-to-back|twice in a row|next to each other|side by side|consecutively)",
        "(no|never|without|don't play|avoid) [two|2] [songs|tracks] in a row (by|of|from) the same (artist|band|singer)",
        "(not|never|don't play|avoid|avoid playing) [the] same (artist|band) (in a row|back-to-back|twice in a row)",
        "spread [out] the artists",
        "no back-to-back artists",
        "don't play the same artist back-to-back",
        examples=(
            "no two songs by the same artist in a row",
            "spread the artists",
            "never the same artist back to back",
        ),
    ),
    phrase(
        {"artist_cap": 1},
        "no artist (twice|more than once|repeated)",
        "[all] different (artists|bands)",
        "(don't|never|do not) repeat (artists|an artist|any artist)",
        "(each|every) artist [only] once",
        "never the same artist twice",
        "no (repeated|repeat) artists",
        "(each|every) <song> (by|from) a different (artist|band)",
        "(don't play|avoid|not) [the] same artist twice",
        "no repeats of artists",
        "no (two|2) [songs|tracks] (by|of|from) the same (artist|band|singer)",
        examples=(
            "no artist twice",
            "different artists",
            "don't repeat artists",
            "every artist only once",
            "no repeated artists",
        ),
    ),
    phrase(
        {"arc": "peak"},
        "[with] [a] warm-up,? [then] [a] peak,? [and|then|and a|and then] [a] cool-down",
        "[with] [a] peak in the middle",
        "peaking in the middle",
        "warm-up,? [run|peak|workout],? cool-down",
        "(start|begin)[s] with a warm-up [and|,] (end|finish)[s] with a cool-down",
        "build[s|ing] up to a peak (and|then|and then) come[s|ing] [back] down",
        "[with] a warm-up and a cool-down",
        "build[s|ing] [it] up[,] (and|then|and then) (cool|calm|wind|slow|come)[s|ing] [back] down",
        examples=(
            "warm-up, peak, cool-down",
            "a peak in the middle",
            "with a warm-up and a cool-down",
            "build up and then cool down",
        ),
    ),
    phrase(
        {"arc": "rising"},
        "start[s|ing] (slow|slowly|calm|calmly|soft|softly|mellow|chill|easy|quiet|quietly|low)[,] [and|then|and then] "
        "[get|gets|end|ends|finish|finishes|build|builds|ramp|ramps|speed|speeds|pick|picks] [it] [up] [to] "
        "[fast|faster|high|hard|loud|strong|energetic|more energetic|upbeat]",
        "[start] from <calm> to <wild>",
        "[start|starts|first] <calm>[ at first][,] (then|later|and then|end|ends|finish|to) <wild>",
        "ends <wild>",
        "[from] [the] (slowest|quietest|calmest|slow|calm) to [the] (fastest|loudest|most energetic|fast|loud)",
        "start[s|ing] <calm> (and|then|and then) build[s|ing] [up] [to] [<wild>]",
        "<calm> at first[,] (and|but|then|and then) [then] [more|with more] (energy|<wild>)",
        "starts off <calm>",
        "build[s|ing] [it] up",
        "ramp[s|ing] up",
        "rising energy",
        "get[s|ting] (faster|more energetic|louder|harder|more intense)",
        "warm[s|ing] up",
        "warm-up",
        "increasing (tempo|energy)",
        "gradually (faster|more energetic)",
        examples=(
            "start slow and build up",
            "starts mellow, then gets faster",
            "rising energy",
            "getting faster",
            "warm up",
        ),
    ),
    phrase(
        {"arc": "falling"},
        "[start] from <wild> to <calm>",
        "[start|starts|first] <wild>[ at first][,] (then|later|and then|end|ends|finish|to) <calm>",
        "[from] [the] (fastest|loudest|most energetic|fast|loud) to [the] (slowest|quietest|calmest|slow|calm)",
        "wind[s|ing] down",
        "cool[s|ing]-down [at the end]",
        "calm[s|ing] down",
        "slow[s|ing] down",
        "falling energy",
        "get[s|ting] (slower|calmer|quieter)",
        "start[s|ing] (fast|strong|loud|hard|energetic)[,] [and|then|and then] [end|ends|finish|finishes] [calm|slow|soft|quiet|mellow]",
        "end[s|ing] (calm|calmly|slow|slowly|soft|softly|quiet|quietly|mellow)",
        "decreasing (tempo|energy)",
        examples=(
            "winding down",
            "cool down at the end",
            "ends calm",
            "gets slower",
            "starts loud and ends quiet",
        ),
    ),
    phrase(
        _range,
        "[between] <n> (to|and) <m> <unit>",
        "<n><dash><m>-<unit>",
        examples=("45 to 60 minutes", "1-2 hours", "between 30 and 40 minutes"),
    ),
    phrase(
        _length,
        "<most> <length> [long|worth|of music|in length|in total]",
        "<least> <length> [long|worth|of music|in length|in total]",
        "[<about>] <length> [long|worth|of music|in length|in total|or so]",
        examples=(
            "30-minute",
            "half an hour",
            "an hour and 15 minutes",
            "1h30",
            "about two hours",
            "45 mins",
            "an hour and a half",
            "exactly 60 minutes",
            "a quarter of an hour",
        ),
    ),
)
# how many tracks: fields of Constraints
COUNTS = (
    phrase(
        _count,
        "[<amount>] <count>-(song|songs|track|tracks|tunes|titles) [long]",
        "[<amount>] <count> <kept>(songs|tracks|tunes|titles)",
        "[<amount>] <count> <named>",
        examples=(
            "20 songs",
            "a dozen tracks",
            "exactly 12 songs",
            "no more than 15 songs",
            "fifteen upbeat songs",
            "25-track",
            "20 deep cuts",
        ),
    ),
)
