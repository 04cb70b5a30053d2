"""Fill a playlist: by rules, then again with the tracks that a language model chose, if one is asked.

Both ways end in the same composition and the same verification.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from trackpools.fill.contract.chat_model import LanguageModel
from trackpools.fill.contract.messages import ConstraintResult, FillRequest
from trackpools.fill.llm.choice import ModelChoice, ask_for_choice
from trackpools.fill.llm.choice_prompt import packed
from trackpools.fill.solver.compose import Composition, FillCandidates, build_problem, compose, prefer_rows
from trackpools.fill.solver.exploration import fill_explore_slots
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.solver.verify import verify_constraints

SPARE_S = 0.1  # seconds kept free before the deadline, in addition to the time for composing again


@dataclass
class Clock:
    """The time that each step of a fill takes.

    Attributes:
        began: when the fill began, in seconds of the monotonic clock.
        steps: name of the step → its duration in milliseconds.
        starts: name of the step → when it started, in seconds of the monotonic clock.
    """

    began: float = field(default_factory=time.monotonic)
    steps: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the time of the `with` block, and record it as a step of this name."""
        started = self.starts[name] = time.monotonic()
        yield
        self.steps[name] = round(1000 * (time.monotonic() - started), 2)

    @property
    def seconds(self) -> float:
        """Seconds since the fill began."""
        return time.monotonic() - self.began


@dataclass(frozen=True)
class FillResult:
    """The result of a fill.

    Attributes:
        composition: the playlist: rows of the catalogue in their order, and what was relaxed.
        constraint_results: for each constraint, whether the playlist satisfies it.
        choice: the language model's choice; empty without a model.
        degraded: why the model contributed less to the playlist than was asked for; empty if it did not.
        chances: place in the playlist, from 0 → probability of the track that was drawn for it. Only the
            places that `fill_explore_slots` filled are in it.
    """

    composition: Composition
    constraint_results: tuple[ConstraintResult, ...]
    choice: ModelChoice
    degraded: str
    chances: Mapping[int, float] = field(default_factory=dict)

    @property
    def chosen_by_model(self) -> float:
        """The share of the playlist's tracks that the model chose, 0 to 1."""
        return (
            float(np.isin(self.composition.rows, self.choice.rows).mean())
            if self.choice.rows and len(self.composition.rows)
            else 0.0
        )


def fill_playlist(
    inputs: FillInputs, request: FillRequest, model: LanguageModel | None, clock: Clock
) -> FillResult:
    """Choose the rows of a playlist, order them and verify them.

    The playlist is first composed by rules, so that it exists in time whatever the model does. If the model
    chooses tracks, the playlist is composed again with these tracks preferred. Then the explore slots are
    filled. Finally, the finished playlist is verified.

    Args:
        inputs: the catalogue, the candidates and the constraints.
        request: the request, with its deadline in seconds.
        model: the language model, or None for a fill by rules alone.
        clock: the clock of the fill; its steps are recorded here.
    """
    with clock.step("compose"):
        made = _composed(inputs, inputs.candidates, request)
    told = ModelChoice()
    if model is not None and len(made.rows):
        with clock.step("model"):
            told = _ask_model(inputs, request, model, len(made.rows), clock)
        if told.rows:
            with clock.step("repair"):
                made = _composed(inputs, prefer_rows(inputs.candidates, told.rows), request)
    degraded = _degraded(told, made)
    with clock.step("explore"):
        rows, chances = fill_explore_slots(inputs, request, made.rows)
    made = replace(made, rows=rows)
    judgement = verify_constraints(inputs.tracks, made.rows, inputs.wanted, inputs.listener, inputs.seeds)
    with_why = tuple(
        one if one.met or not made.why else one.model_copy(update={"why": made.why}) for one in judgement
    )
    return FillResult(made, with_why, told, degraded, chances)


def _composed(given: FillInputs, candidates: FillCandidates, request: FillRequest) -> Composition:
    return compose(
        given.tracks,
        candidates,
        given.wanted,
        given.listener,
        given.seeds,
        house=given.house,
        relax=request.relax,
    )


def _ask_model(
    given: FillInputs, request: FillRequest, model: LanguageModel, wanted: int, clock: Clock
) -> ModelChoice:
    """Ask the model to choose among the candidates that could be in the playlist; see `build_problem`.

    The time limit of the model is the time until the deadline, less SPARE_S and twice the time of the first
    composition, which is kept for composing again. `wanted` is the number of tracks to choose.
    """
    shown = build_problem(given.tracks, given.candidates, given.wanted, given.listener, given.seeds)
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
        return ModelChoice(trouble="no candidate could be shown to the model")
    return ask_for_choice(
        model,
        pack,
        wanted,
        seconds=request.deadline_s - clock.seconds - 2 * clock.steps["compose"] / 1000 - SPARE_S,
    )


def _degraded(told: ModelChoice, made: Composition) -> str:
    """Say why the model contributed less to the playlist than was asked for; empty if it did not.

    The reason is a failure of the model, or that less than half of the tracks that it chose are in the
    playlist (if it chose more tracks than the playlist has: that they fill less than half of the playlist).
    """
    if told.trouble:
        return f"{told.trouble}; code chose {'the rest' if told.rows else 'all'}"
    kept = int(np.isin(made.rows, told.rows).sum())
    if told.rows and 2 * kept < min(len(told.rows), len(made.rows)):
        return f"of the {len(told.rows)} tracks that the model chose, {kept} fit the constraints; code chose the rest"
    return ""
