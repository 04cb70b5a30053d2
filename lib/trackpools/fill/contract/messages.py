"""The request and the answer of a fill: types that all interfaces (code, terminal, HTTP, MCP) share."""

import json
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from trackpools.fill.contract.constraints import MAX_PROMPT_CHARS, Constraints, Strict

Origin = Literal["pool", "retrieval", "explore"]
MAX_EVENTS = 200


class RecentEvent(Strict):
    """A play or a skip that is not in the tables yet; `day` is its UTC day."""

    track_id: Annotated[str, Field(min_length=1, max_length=1000)]
    day: date
    skipped: bool = False


class FillRequest(Strict):
    """A request for one playlist.

    Attributes:
        user_id: the user id, as in the log.
        prompt: the text that the user typed; it is untrusted.
        constraints: constraints in addition to those of the prompt. If both set the same constraint, this
            value is used, not that of the prompt.
        market: two capital letters, or `*` for an unknown market; null is the market of the user's profile.
        clean: true leaves out tracks with explicit words, whatever the user's profile allows. A request can
            only be stricter than the profile.
        events: the user's plays and skips that are not in the tables yet, in any order.
        relax: whether constraints may be relaxed, in the order of `relax.STEPS`, if no playlist satisfies
            them.
        seed: the seed of everything that is drawn at random.
        deadline_s: the time limit of the whole fill, in seconds.
    """

    user_id: Annotated[str, Field(min_length=1, max_length=1000)]
    prompt: Annotated[str, Field(max_length=20 * MAX_PROMPT_CHARS)] = ""
    constraints: Constraints | None = None
    market: Annotated[str, Field(pattern=r"[A-Z]{2}|\*", max_length=2)] | None = None
    clean: Literal[True] | None = None
    events: Annotated[tuple[RecentEvent, ...], Field(max_length=MAX_EVENTS)] = ()
    relax: bool = False
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    deadline_s: Annotated[float, Field(gt=0, le=120)] = 20.0


class ConstraintResult(Strict):
    """The verdict on one constraint.

    Attributes:
        name: the name of the constraint.
        wanted: what was asked for, in words.
        got: what the playlist has, in words.
        met: whether the playlist satisfies the constraint.
        why: why no playlist satisfies all constraints; empty if this constraint is satisfied.
    """

    name: str
    wanted: str
    got: str
    met: bool
    why: str = ""


class Entry(Strict):
    """A track of a playlist.

    Attributes:
        track_id: the track to play.
        recording_id: the recording of the track.
        title: the title; untrusted text; null if it is unknown.
        artists: the names of the artists; untrusted text.
        seconds: the length in seconds; null if it is unknown.
        reason: why the track is in the playlist, in words.
        origin: where the track comes from: the user's pool, the retrieval for this request, or exploration.
        propensity: the probability with which an explored track (`explore`) was drawn; null for all others.
    """

    track_id: str
    recording_id: str
    title: str | None
    artists: tuple[str, ...]
    seconds: float | None
    reason: str
    origin: Origin
    propensity: float | None = None


class Playlist(Strict):
    """The answer to a request: a playlist, and how it was made.

    Attributes:
        request_id: the id of this playlist.
        release: the id of the release that the candidates come from.
        model: the name of the language model, or `none`.
        tracks: the tracks in order.
        constraints: the constraints as they were understood, before any relaxation.
        told: the verdict on each constraint.
        not_applied: words of the prompt that were not understood.
        notes: one sentence for each relaxed constraint, for each meaning that a model found in words that no
            rule reads, and for anything else that was special about the fill.
        degraded: why the model contributed too little; empty if it contributed enough, or was not asked.
        chosen_by_model: the share (0 to 1) of the tracks that the model chose.
        candidates: origin (`pool`, `retrieval` or `explore`) → number of candidates.
        dropped: reason → number of the model's choices and findings that were dropped.
        tokens: the number of tokens in the messages to the model and in its answers.
        cost: the cost of the model, in the currency of the configured prices.
        instructions: the version of the instructions that the model got; empty without a model.
        milliseconds: step → its duration in milliseconds.
    """

    request_id: str
    release: str
    model: str
    tracks: tuple[Entry, ...]
    constraints: Constraints
    told: tuple[ConstraintResult, ...]
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
    """Return a JSON text of one object with the JSON Schemas of `FillRequest` and `Playlist`."""
    return (
        json.dumps(
            {"FillRequest": FillRequest.model_json_schema(), "Playlist": Playlist.model_json_schema()},
            indent=2,
        )
        + "\n"
    )
