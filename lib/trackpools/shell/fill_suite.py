"""`trackpools eval-fill`: a suite of prompts for some listeners of a release, measured, tracked and told."""

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
from trackpools.fill.arrange import KNOWN
from trackpools.fill.checks import judged, level
from trackpools.fill.choose import choose
from trackpools.fill.compose import Candidates, asked, hopeless
from trackpools.fill.constraints import Constraints, Filter
from trackpools.fill.contract import FillRequest
from trackpools.fill.given import Given
from trackpools.fill.measures import Audit, Measure, Outcome, audited, measures
from trackpools.fill.model import Model
from trackpools.fill.pack import PACKAGED
from trackpools.fill.suite import Case, Suite, cases, in_turns, load
from trackpools.fill.words import plain
from trackpools.fill.world import RETRIEVAL, seeded
from trackpools.places import user_cache
from trackpools.shell.command import Answer, Options, flow_id, telling
from trackpools.shell.fill_command import chosen_model
from trackpools.shell.fill_report import report
from trackpools.shell.filling import Explained, Filler
from trackpools.shell.genai import assess
from trackpools.shell.kv_reading import open_release
from trackpools.shell.prompts import instructions
from trackpools.shell.tracking import Tracker

ORDERS = 4  # in which the audit shows the same candidates
SOLVER_S = 5.0  # for what is possible: an oracle may think longer than a fill


def evaluate(
    config: Config,
    options: Options,
    *,
    prompts: str | None,
    users: int,
    model: str | None,
    audit: int,
    limit: int | None = None,
    rows: int = 60,
) -> Answer:
    """Every prompt for every listener drawn.

    Args:
        audit: prompts whose candidates are shown to the model in several orders.
        limit: prompts, the first of each family first; None is all.
        rows: fills that MLflow shows one by one, the first of each family first.

    Raises:
        InputError: for a file that is no suite, or where nothing is published.
    """
    if config.store.root is None:
        raise ConfigError("eval-fill reads tables under a root, without a JVM; name it: --root FOLDER")
    suite = load(Path(prompts) if prompts else None)
    with (
        chosen_model(config, model) as (chooser, fit),
        Tracker(config.mlflow, config.store.root, flow_id("eval-fill"), "eval-fill") as tracker,
    ):
        words, why = instructions(config) if chooser is not None else (PACKAGED, "")
        filler = Filler(open_release(fit), user_cache() / "cards", words)
        people = listeners(filler, users)
        with telling(options, len(people)) as tell:
            outcomes, left = _outcomes(filler, suite, chooser, people, limit, tell=tell)
        found = measures(outcomes)
        bias = _audit(filler, outcomes, chooser, people[0], audit) if chooser is not None and audit else None
        if bias is not None:
            found += [
                bias.place,
                Measure("agreement", "all", bias.agreement, bias.chance, 1.0, bias.place.count),
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
            "fills.json", json.dumps([_told(one) for one in outcomes], ensure_ascii=False, indent=1)
        )
        mlflow_run_id = tracker.run_id
        some = in_turns(outcomes, lambda one: one.case.family, rows)
        shown = assess(config, mlflow_run_id, some, of=len(outcomes)) if some else ""
    answer = report(found, bias, len(outcomes), left)
    answer.lines += [shown] if shown else []
    answer.more["assessed"] = shown
    answer.warnings += [why] if why else []
    answer.release_id, answer.mlflow_run_id = filler.opened.release_id, mlflow_run_id
    return answer


def _key(one: Measure) -> str:
    return one.name if one.of == "all" else f"{one.name}.{one.of.partition('=')[2]}"


def _told(one: Outcome) -> dict[str, Any]:
    return asdict(one) | {
        "case": {
            "name": one.case.name,
            "prompt": one.case.prompt,
            "wants": one.case.wants.model_dump(mode="json", exclude_defaults=True),
        },
        "told": [told.model_dump() for told in one.told],
        "met": one.met,
    }


def listeners(filler: Filler, count: int) -> list[str]:
    """So many who have a pool, drawn by lot, the same each time."""
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
    model: Model | None,
    people: list[str],
    limit: int | None,
    *,
    tell: Callable[[str], None],
) -> tuple[list[Outcome], list[str]]:
    made: list[Outcome] = []
    left: list[str] = []
    for number, user in enumerate(people, 1):
        tell(f"listener {number} of {len(people)}")
        who, tracks, _ = filler.who(FillRequest(user_id=user))
        some, left = cases(suite, tracks, who.may)
        made += [
            _outcome(filler, user, case, model) for case in in_turns(some, lambda one: one.family, limit)
        ]
    return made, left


def _outcome(filler: Filler, user: str, case: Case, model: Model | None) -> Outcome:
    request = FillRequest(user_id=user, prompt=case.prompt, deadline_s=120.0 if model is not None else 20.0)
    told = filler.explained(request, model)
    given, rows = told.given, told.done.made.rows
    free = told.world.candidates.rows[: len(rows)]
    seeds = _seeds(told, case.wants)
    return Outcome(
        case,
        _same(told.understood.read, case.wants) and not told.playlist.not_applied,
        tuple(judged(given.tracks, rows, case.wants, given.listener, seeds)),
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


def _seeds(told: Explained, wants: Constraints) -> dict[str, int | None]:
    may = np.zeros(len(told.given.tracks), bool)
    may[told.given.candidates.allowed] = True
    return seeded(told.world, told.given.tracks, wants.seeds, may)[1]


def _same(read: Constraints, wants: Constraints) -> bool:
    """Whether they mean the same; what is preferred is no part of it."""

    def bare(one: Constraints) -> Constraints:
        return one.model_copy(update={"prefer": Filter(), "seeds": tuple(plain(seed) for seed in one.seeds)})

    return bare(read) == bare(wants)


def _possible(
    told: Explained, wants: Constraints, seeds: dict[str, int | None]
) -> Iterator[tuple[str, bool]]:
    """Whether what is meant exists in the pool, with what was retrieved, and in the catalogue, by the exact solver."""
    given, world = told.given, told.world
    pool = world.candidates.rows[world.origin != RETRIEVAL]
    for where, rows in (
        ("pool", pool),
        ("retrieval", world.candidates.rows),
        ("catalogue", given.candidates.allowed),
    ):
        yield where, _exists(given, rows, wants, seeds)


def _exists(given: Given, rows: Any, wants: Constraints, seeds: dict[str, int | None]) -> bool:
    if any(row is None or row not in rows for row in seeds.values()):
        return False
    found = Candidates(rows, np.zeros(len(rows)), rows)
    ask, passing = asked(given.tracks, found, wants, given.listener, seeds)
    if any(row not in passing for row in seeds.values()):
        return False
    if wants.arc is not None and np.count_nonzero(~np.isnan(level(given.tracks, passing))) < KNOWN:
        return False
    return not hopeless(ask) and choose(ask, SOLVER_S) is not None


def _audit(filler: Filler, outcomes: list[Outcome], model: Model, user: str, count: int) -> Audit:
    """The same candidates shown in several orders, for the first prompts that were possible."""
    some = list(dict.fromkeys(one.case.prompt for one in outcomes if one.possible["retrieval"]))[:count]
    orders = []
    for prompt in some:
        said = [
            filler.explained(
                FillRequest(user_id=user, prompt=prompt, seed=seed, deadline_s=120.0), model
            ).done.asked
            for seed in range(ORDERS)
        ]
        orders.append([(frozenset(one.rows), one.places, one.shown) for one in said if one.shown])
    return audited(orders)
