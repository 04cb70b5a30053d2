"""What is asked of a fill and what it answers: the types that every way in (code, terminal, HTTP, MCP) shares."""

import json
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from trackpools.fill.constraints import Constraints, Strict
from trackpools.fill.prompt import MOST_CHARACTERS

Origin = Literal["pool", "retrieval", "explore"]
MOST_EVENTS = 200


class Heard(Strict):
    """A play or a skip that no table has yet; the day is UTC."""

    track_id: Annotated[str, Field(min_length=1, max_length=1000)]
    day: date
    skipped: bool = False


class FillRequest(Strict):
    """One playlist wanted.

    Attributes:
        user_id: as in the log.
        prompt: what the listener typed; untrusted.
        constraints: what must hold beside the prompt; where both tell of one thing, these win.
        market, clean: instead of what the user's profile says; a request can only be stricter than it.
        events: today's plays and skips, latest last.
        relax: whether constraints may be loosened where there is no such playlist, in the order of `relax.STEPS`.
        seed: of everything drawn by lot.
        deadline_s: seconds for all of it.
    """

    user_id: Annotated[str, Field(min_length=1, max_length=1000)]
    prompt: Annotated[str, Field(max_length=20 * MOST_CHARACTERS)] = ""
    constraints: Constraints | None = None
    market: Annotated[str, Field(pattern=r"[A-Z]{2}|\*", max_length=2)] | None = None
    clean: Literal[True] | None = None
    events: Annotated[tuple[Heard, ...], Field(max_length=MOST_EVENTS)] = ()
    relax: bool = False
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    deadline_s: Annotated[float, Field(gt=0, le=120)] = 20.0


class Told(Strict):
    """A constraint, whether it holds, and what bound where it does not."""

    name: str
    wanted: str
    got: str
    met: bool
    why: str = ""


class Entry(Strict):
    """A track of a playlist: what plays, what is said of it, where it comes from, and of one that was drawn by lot (`explore`) how likely that was."""

    track_id: str
    recording_id: str
    title: str | None
    artists: tuple[str, ...]
    seconds: float | None
    reason: str
    origin: Origin
    propensity: float | None = None


class Playlist(Strict):
    """The answer.

    Attributes:
        constraints: as they were read, and `told` of each whether it is met.
        not_applied: words of the prompt that nothing was made of.
        notes: what was loosened, what a model read of words that the rules do not know, and what else is to be said of how it came about.
        degraded: why the model had less part in it than was asked for; empty where it had all.
        chosen_by_model: share of the tracks.
        dropped: what the model said and does not count, by what was wrong with it.
        instructions: the version of the text that the model was instructed by; empty without a model.
        milliseconds: by step.
    """

    request_id: str
    release: str
    model: str
    tracks: tuple[Entry, ...]
    constraints: Constraints
    told: tuple[Told, ...]
    not_applied: tuple[str, ...]
    notes: tuple[str, ...]
    degraded: str
    chosen_by_model: float
    candidates: dict[str, int]
    dropped: dict[str, int]
    tokens: int
    cost: float
    instructions: str
    milliseconds: dict[str, float]


def schemas() -> str:
    """The JSON Schemas of requests and playlists, as one JSON object a text."""
    return (
        json.dumps(
            {"FillRequest": FillRequest.model_json_schema(), "Playlist": Playlist.model_json_schema()},
            indent=2,
        )
        + "\n"
    )
