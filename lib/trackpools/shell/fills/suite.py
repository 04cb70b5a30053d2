"""The command `trackpools eval-fill`: fill a suite of prompts for some users, and measure the result."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from trackpools.config import Config
from trackpools.errors import ConfigError, InputError
from trackpools.fill.contract.chat_model import LanguageModel
from trackpools.fill.contract.constraints import Constraints, Filter
from trackpools.fill.contract.instructions import PACKAGED
from trackpools.fill.contract.messages import FillRequest
from trackpools.fill.contract.normalise import plain
from trackpools.fill.solver.candidates import RETRIEVAL, add_seeds
from trackpools.fill.solver.compose import FillCandidates, build_problem, is_infeasible
from trackpools.fill.solver.fill_inputs import FillInputs
from trackpools.fill.solver.selection import choose
from trackpools.fill.solver.sequence import MIN_KNOWN_LEVELS
from trackpools.fill.solver.verify import arc_levels, verify_constraints
from trackpools.fill.suite.cases import Case, Suite, cases, in_turns, load
from trackpools.fill.suite.measures import Audit, Outcome, SuiteMeasure, audit_places, measure_outcomes
from trackpools.paths import user_cache
from trackpools.shell.command import CommandResult, Options, flow_id
from trackpools.shell.fills.fill_command import chosen_model
from trackpools.shell.fills.filler import ExplainedFill, Filler
from trackpools.shell.fills.mlflow_assessment import assess
from trackpools.shell.fills.prompt_registry import instructions
from trackpools.shell.fills.suite_report import report
from trackpools.shell.serving.kv.reader import open_release
from trackpools.shell.tracking.tracker import Tracker

ORDERS = 4  # number of orders in which the audit shows the same candidates to the model
SOLVER_S = 5.0  # time of the solver to decide whether a playlist exists; it is longer than the time in a fill


def evaluate_fills(
    config: Config,
    options: Options,
    *,
    prompts: str | None,
    users: int,
    model: str | None,
    audit: int,
    limit: int | None = None,
    rows: int = 60,
) -> CommandResult:
    """Fill every prompt of a suite for every drawn user; track the measures in MLflow and report them.

    Args:
        config: the configuration.
        options: the options of the command line.
        prompts: the file of the suite; None for the packaged one.
        users: the number of users to draw.
        model: which language model to use, see the argument `name` of `chosen_model`.
        audit: the number of prompts for which the audit shows the candidates to the model in several orders.
        limit: greatest number of prompts for each user, taken from the families in turn; None for all.
        rows: greatest number of fills that MLflow shows one by one, taken from the families in turn.

    Raises:
        ConfigError: if no root is set, or the model cannot be used.
        InputError: if the file is not a valid suite, or nothing is published.
    """
    if config.store.root is None:
        raise ConfigError(
            "eval-fill needs a root, because it reads the tables without a JVM; give --root FOLDER"
        )
    suite = load(Path(prompts) if prompts else None)
    with (
        chosen_model(config, model) as (chooser, fit),
        Tracker(config.mlflow, config.store.root, flow_id("eval-fill"), "eval-fill") as tracker,
    ):
        words, why = instructions(config) if chooser is not None else (PACKAGED, "")
        filler = Filler(open_release(fit), user_cache() / "cards", words)
        people = listeners(filler, users)
        with options.progress(len(people)) as progress:
            outcomes, left = _outcomes(filler, suite, chooser, people, limit, progress=progress)
        found = measure_outcomes(outcomes)
        bias = _audit(filler, outcomes, chooser, people[0], audit) if chooser is not None and audit else None
        if bias is not None:
            found += [
                bias.place,
                SuiteMeasure("agreement", "all", bias.agreement, bias.chance, 1.0, bias.place.count),
            ]
        name = "none" if chooser is None else chooser.name
        tracker.params(
            {"suite_version": suite.version, "prompts": prompts or "ours", "model": name, "users": users}
        )
        tracker.params({"instructions": "none" if chooser is None else words.version})
        tracker.metrics({_key(one): one.value for one in found if one.value == one.value})
        tracker.tag(
            {
                "trackpools.release_id": filler.opened.release_id,
                "trackpools.biased": "" if bias is None else str(bias.biased),
            }
        )
        tracker.artifact_text(
            "fills.json", json.dumps([_as_json(one) for one in outcomes], ensure_ascii=False, indent=1)
        )
        mlflow_run_id = tracker.run_id
        some = in_turns(outcomes, lambda one: one.case.family, rows)
        shown = assess(config, mlflow_run_id, some, of=len(outcomes)) if some else ""
    answer = report(found, bias, len(outcomes), left)
    answer.lines = [*answer.lines, *([shown] if shown else [])]
    answer.more["assessed"] = shown
    answer.warnings += [why] if why else []
    answer.release_id, answer.mlflow_run_id = filler.opened.release_id, mlflow_run_id
    return answer


def _key(one: SuiteMeasure) -> str:
    return one.name if one.of == "all" else f"{one.name}.{one.of.partition('=')[2]}"


def _as_json(one: Outcome) -> dict[str, Any]:
    return asdict(one) | {
        "case": {
            "name": one.case.name,
            "prompt": one.case.prompt,
            "wants": one.case.wants.model_dump(mode="json", exclude_defaults=True),
        },
        "told": [told.model_dump() for told in one.told],
        "met": one.is_satisfied,
    }


def listeners(filler: Filler, count: int) -> list[str]:
    """Draw at most `count` users who have a pool, and return their ids; the draw is the same each time.

    Raises:
        InputError: if the release has no pools.
    """
    idx = np.sort(filler.opened.data("pools").to_table(columns=["user_idx"])["user_idx"].to_numpy())
    if not len(idx):
        raise InputError(f"release {filler.opened.release_id} has no pools")
    some = random.Random(0).sample(idx.tolist(), min(count, len(idx)))  # noqa: S311 - a sample, no secret
    return sorted(
        filler.opened.data("user_ids")
        .to_table(filter=pc.field("user_idx").isin(some), columns=["user_id"])["user_id"]
        .to_pylist()
    )


def _outcomes(
    filler: Filler,
    suite: Suite,
    model: LanguageModel | None,
    people: list[str],
    limit: int | None,
    *,
    progress: Callable[[str], None],
) -> tuple[list[Outcome], list[str]]:
    made: list[Outcome] = []
    left: list[str] = []
    for number, user in enumerate(people, 1):
        progress(f"user {number} of {len(people)}")
        who, tracks, _ = filler.resolve_user(FillRequest(user_id=user))
        some, left = cases(suite, tracks, who.may)
        made += [
            _outcome(filler, user, case, model) for case in in_turns(some, lambda one: one.family, limit)
        ]
    return made, left


def _outcome(filler: Filler, user: str, case: Case, model: LanguageModel | None) -> Outcome:
    request = FillRequest(user_id=user, prompt=case.prompt, deadline_s=120.0 if model is not None else 20.0)
    told = filler.explain(request, model)
    given, rows = told.inputs, told.done.composition.rows
    free = told.world.candidates.rows[: len(rows)]
    seeds = _seeds(told, case.wants)
    return Outcome(
        case,
        _mean_the_same(told.understood.parsed, case.wants) and not told.playlist.not_applied,
        tuple(verify_constraints(given.tracks, rows, case.wants, given.listener, seeds)),
        dict(_possible(told, case.wants, seeds)),
        told.done.chosen_by_model,
        1 - float(np.isin(rows, free).mean()) if len(rows) else 0.0,
        len(np.unique(given.tracks.artist[rows])) / len(rows) if len(rows) else 0.0,
        sum(told.playlist.milliseconds.values()),
        told.playlist.tokens,
        told.playlist.cost,
        told.playlist.degraded,
        int((~np.isin(rows, told.world.candidates.rows)).sum()),
        len(rows) - len(np.unique(given.tracks.song[rows])),
    )


def _seeds(told: ExplainedFill, wants: Constraints) -> dict[str, int | None]:
    may = np.zeros(len(told.inputs.tracks), bool)
    may[told.inputs.candidates.allowed] = True
    return add_seeds(told.world, told.inputs.tracks, wants.seeds, may)[1]


def _mean_the_same(read: Constraints, wants: Constraints) -> bool:
    """Whether two sets of constraints are equal, except for preferences and the spelling of seeds."""

    def bare(one: Constraints) -> Constraints:
        return one.model_copy(update={"prefer": Filter(), "seeds": tuple(plain(seed) for seed in one.seeds)})

    return bare(read) == bare(wants)


def _possible(
    told: ExplainedFill, wants: Constraints, seeds: dict[str, int | None]
) -> Iterator[tuple[str, bool]]:
    """Yield whether a playlist that satisfies `wants` exists, for three sets of tracks.

    The sets are `pool` (the user's pool), `retrieval` (the pool and the retrieved recordings) and `catalogue`
    (all tracks that the rules allow).
    """
    given, world = told.inputs, told.world
    pool = world.candidates.rows[world.origin != RETRIEVAL]
    for where, rows in (
        ("pool", pool),
        ("retrieval", world.candidates.rows),
        ("catalogue", given.candidates.allowed),
    ):
        yield where, _exists(given, rows, wants, seeds)


def _exists(given: FillInputs, rows: Any, wants: Constraints, seeds: dict[str, int | None]) -> bool:
    if any(row is None or row not in rows for row in seeds.values()):
        return False
    found = FillCandidates(rows, np.zeros(len(rows)), rows)
    ask, passing = build_problem(given.tracks, found, wants, given.listener, seeds)
    if any(row not in passing for row in seeds.values()):
        return False
    if (
        wants.arc is not None
        and np.count_nonzero(~np.isnan(arc_levels(given.tracks, passing))) < MIN_KNOWN_LEVELS
    ):
        return False
    return not is_infeasible(ask) and choose(ask, SOLVER_S) is not None


def _audit(filler: Filler, outcomes: list[Outcome], model: LanguageModel, user: str, count: int) -> Audit:
    """Audit whether the model chooses by place: show it the same candidates in several orders.

    The audit uses the first `count` prompts for which a playlist exists with retrieval.
    """
    some = list(dict.fromkeys(one.case.prompt for one in outcomes if one.possible["retrieval"]))[:count]
    orders = []
    for prompt in some:
        said = [
            filler.explain(
                FillRequest(user_id=user, prompt=prompt, seed=seed, deadline_s=120.0), model
            ).done.choice
            for seed in range(ORDERS)
        ]
        orders.append([(frozenset(one.rows), one.places, one.shown) for one in said if one.shown])
    return audit_places(orders)
