"""Hits and deep cuts of artists."""

from typing import Any

from trackpools.fill.contract.constraints import Band
from trackpools.fill.parser.phrases.track import CUTS, HITS

RANKS = {HITS: Band(high=5), CUTS: Band(low=6)}


def shared(first: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """The first side of a mix with the artists and years that are told behind the last: "hits and deep cuts by X from the 80s"."""
    made = first | {name: last[name] for name in ("artists", "years") if name in last and name not in first}
    if made.get("popularity") in RANKS and "artists" in made:
        rank_within(made)
    return made


def rank_within(own: dict[str, Any]) -> None:
    """Hits and deep cuts of artists are told by the rank within the artist: of a star every track is a hit, of a newcomer none."""
    if (own.get("artists") or own.get("top")) and own.get("popularity") in RANKS:
        own["artist_rank"] = RANKS[own.pop("popularity")]
