"""A fill from what was read to rows in their order: by rules first, then with a model's choice, judged by the same checks."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from trackpools.fill.asking import Asked, ask
from trackpools.fill.checks import judged
from trackpools.fill.compose import Candidates, Composed, asked, compose, favoured
from trackpools.fill.contract import FillRequest, Told
from trackpools.fill.exploring import explored
from trackpools.fill.given import Given
from trackpools.fill.model import Model
from trackpools.fill.pack import packed

SPARE_S = 0.1  # between a model's last moment and the deadline


@dataclass
class Clock:
    """Milliseconds by step, and when each started, in seconds of the monotonic clock."""

    began: float = field(default_factory=time.monotonic)
    steps: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = self.starts[name] = time.monotonic()
        yield
        self.steps[name] = round(1000 * (time.monotonic() - started), 2)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began


@dataclass(frozen=True)
class Filled:
    """What came of it: rows, every constraint judged, what the model said, and why it has less part in it than was asked for; `chances` as `explored`."""

    made: Composed
    told: tuple[Told, ...]
    asked: Asked
    degraded: str
    chances: Mapping[int, float] = field(default_factory=dict)

    @property
    def chosen_by_model(self) -> float:
        """Share of the tracks."""
        return (
            float(np.isin(self.made.rows, self.asked.rows).mean())
            if self.asked.rows and len(self.made.rows)
            else 0.0
        )


def filled(given: Given, request: FillRequest, model: Model | None, clock: Clock) -> Filled:
    """Rows for a playlist. The fill by rules comes first: whatever a model does or does not, there is one in time."""
    with clock.step("compose"):
        made = _composed(given, given.candidates, request)
    told = Asked()
    if model is not None and len(made.rows):
        with clock.step("model"):
            told = _asked(given, request, model, len(made.rows), clock)
        if told.rows:
            with clock.step("repair"):
                made = _composed(given, favoured(given.candidates, told.rows), request)
    degraded = _degraded(told, made)
    with clock.step("explore"):
        rows, chances = explored(given, request, made.rows)
    made = replace(made, rows=rows)
    judgement = judged(given.tracks, made.rows, given.wanted, given.listener, given.seeds)
    with_why = tuple(
        one if one.met or not made.why else one.model_copy(update={"why": made.why}) for one in judgement
    )
    return Filled(made, with_why, told, degraded, chances)


def _composed(given: Given, candidates: Candidates, request: FillRequest) -> Composed:
    return compose(
        given.tracks,
        candidates,
        given.wanted,
        given.listener,
        given.seeds,
        house=given.house,
        relax=request.relax,
    )


def _asked(given: Given, request: FillRequest, model: Model, wanted: int, clock: Clock) -> Asked:
    """What the model chooses of the candidates that pass, in the time that composing again will leave."""
    shown = asked(given.tracks, given.candidates, given.wanted, given.listener, given.seeds)
    llm = given.llm
    told = given.instructions.text
    pack = packed(
        given.tracks,
        shown,
        given.wanted,
        given.listener,
        request.prompt,
        seed=request.seed,
        most=llm.shown,
        tokens=llm.pack_tokens,
        system=told,
    )
    if not len(pack.rows):
        return Asked(trouble="no candidate could be shown to the model")
    return ask(
        model,
        pack,
        wanted,
        seconds=request.deadline_s - clock.seconds - 2 * clock.steps["compose"] / 1000 - SPARE_S,
    )


def _degraded(told: Asked, made: Composed) -> str:
    """Why the model has less part in the playlist than was asked for."""
    if told.trouble:
        return f"{told.trouble}; code chose {'the rest' if told.rows else 'all'}"
    kept = int(np.isin(made.rows, told.rows).sum())
    if told.rows and 2 * kept < min(len(told.rows), len(made.rows)):
        return f"of the model's {len(told.rows)} tracks {kept} fit the constraints; code chose the rest"
    return ""
