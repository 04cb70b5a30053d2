"""Tests of the studies and search spaces of tuning, without a flow.

A study resumes as if it had never stopped, hopeless trials are pruned, and every proposal is a valid
configuration.
"""

import time
from types import SimpleNamespace

import pytest

from trackpools.config.loading import load_config
from trackpools.errors import InputError
from trackpools.shell.tracking.tracker import Tracker
from trackpools.shell.tuning import search_result
from trackpools.shell.tuning.optuna_study import StudyStorage, optuna
from trackpools.shell.tuning.search import confirm_weights, weight_objective
from trackpools.shell.tuning.search_space import (
    Dimension,
    differences,
    dump,
    of_blend,
    of_model,
    propose,
    with_settings,
)

DIMS = [
    Dimension("train.reg", 0.1, 1000, 700.0),
    Dimension("train.beta", 0.1, 30, 0.0, off=True),
    Dimension("train.rank", 4, 64, 8, whole=True),
]
NEVER = float("inf")


def worth(settings, trial):
    value = -abs(settings.get("train.reg", 700.0) - 5) / 1000 + settings.get("train.rank", 8) / 1000
    trial.report(value, 1)
    if settings and trial.should_prune():
        raise optuna().TrialPruned
    return value


def search(study, trials, ends=NEVER, worth=worth):
    study.search(
        worth,
        trials,
        ends,
        lambda _: None,
        Tracker(load_config(settings=["mlflow.enabled=false"]).mlflow, None, "t", "t"),
    )
    return [(one["state"], one["value"], one["settings"]) for one in study.trial_rows()]


def test_the_present_settings_are_first_and_hopeless_trials_are_pruned(tmp_path):
    study = StudyStorage(tmp_path / "a.jsonl").study("trial", DIMS)
    told = search(study, 20)
    assert told[0] == ("complete", pytest.approx(-0.687), {})
    assert {"complete", "pruned"} == {state for state, *_ in told}
    assert study.best.value > told[0][1]
    assert study.best.value == max(value for _, value, _ in told if value is not None)


def test_a_study_resumed_after_a_kill_gives_the_same_trials(tmp_path):
    whole = search(StudyStorage(tmp_path / "whole.jsonl").study("trial", DIMS), 14)
    path = tmp_path / "killed.jsonl"
    for trials in (1, 6, 11):
        study = StudyStorage(path).study("trial", DIMS)
        search(study, trials)
        study._own.ask()  # the process dies here
        with path.open("ab") as file:
            file.write(b'{"op_code":')
        path.with_name("killed.jsonl.lock").symlink_to(path)
    began = time.monotonic()
    assert search(StudyStorage(path).study("trial", DIMS), 14) == whole
    assert time.monotonic() - began < 20
    assert search(StudyStorage(path).study("trial", DIMS), 14, worth=None) == whole  # no trial is run


def test_a_killed_first_trial_is_repeated_with_the_present_settings(tmp_path):
    study = StudyStorage(tmp_path / "a.jsonl").study("trial", DIMS)
    study._mend()
    propose(DIMS, study._own.ask())
    assert search(StudyStorage(tmp_path / "a.jsonl").study("trial", DIMS), 1)[0][2] == {}


def test_without_time_left_only_the_present_settings_are_tried(tmp_path):
    assert len(search(StudyStorage(tmp_path / "a.jsonl").study("trial", DIMS), 9, ends=time.monotonic())) == 1


def test_settings_that_an_engine_refuses_are_a_failed_trial_but_present_ones_an_error(tmp_path):
    def refusing(settings, trial):
        if settings.get("train.rank", 8) != 8 or not settings:
            raise InputError("too large")
        return 1.0

    with pytest.raises(InputError, match="too large"):
        search(StudyStorage(tmp_path / "a.jsonl").study("trial", DIMS), 3, worth=refusing)
    told = search(
        StudyStorage(tmp_path / "b.jsonl").study("trial", DIMS),
        5,
        worth=lambda s, t: refusing(s, t) if s else 0.5,
    )
    assert [state for state, *_ in told][:1] == ["complete"]
    assert "refused" in {state for state, *_ in told} and len(told) == 5


@pytest.mark.parametrize("engine", ["implicit", "mllib", "blocked"])
def test_every_proposal_is_a_configuration_and_the_present_is_one_of_them(engine):
    config = load_config(settings=[f"train.engine={engine}", "train.rank=300", "train.reg=5000.0"])
    dims, study = of_model(config), optuna().create_study(sampler=optuna().samplers.TPESampler(seed=3))
    assert {"train.nu", "train.alpha0"} <= {dim.key for dim in dims} or engine != "blocked"
    study.enqueue_trial({name: value for dim in dims for name, value in dim.present.items()})
    assert propose(dims, study.ask()) == {}
    tried = [propose(dims, study.ask()) for _ in range(60)]
    assert {one["train.beta"] > 0 for one in tried} == {True, False}
    ranks = {with_settings(config, one).train.rank for one in tried}
    assert min(ranks) < 16 and max(ranks) <= 300
    assert all(with_settings(config, one).train.engine == engine for one in tried)


def test_weights_are_searched_for_sources_of_new_recordings_relative_to_the_heaviest():
    assert {dim.key for dim in of_blend(load_config())} == {
        f"sources.{name}.weight"
        for name in ("als_neighbours", "cooccurrence", "artist_graph", "popular", "tags", "fresh")
    }
    assert of_blend(load_config(settings=["sources.als.weight=0.1"]))[0].key == "sources.als.weight"


def test_weights_are_chosen_on_one_half_and_stay_only_where_the_other_agrees():
    present = SimpleNamespace(
        user_attrs={"settings": {}, "new0": 0.5, "new1": 0.5, "again0": 0.8, "again1": 0.8}
    )

    def best(**found):
        attrs = present.user_attrs | {"settings": {"sources.tags.weight": 2.0}, "new0": 0.6} | found
        return confirm_weights(SimpleNamespace(best=SimpleNamespace(user_attrs=attrs), present=present), 0.1)

    assert best(new1=0.51) == {"sources.tags.weight": 2.0}
    assert best(new1=0.5) == {}
    assert best(new1=0.6, again1=0.71) == {}
    assert confirm_weights(None, 0.1) == {}
    assert weight_objective({"new0": 0.6, "again0": 0.73}, present, 0.1) == 0.6
    assert weight_objective({"new0": 0.6, "again0": 0.52}, present, 0.1) == pytest.approx(0.4)
    assert weight_objective({"new0": 0.6, "again0": 0.1}, None, 0.1) == 0.6


def test_the_overlay_holds_changed_settings_and_no_password(tmp_path):
    told = [
        "train.rank=9",
        "ingest.columns={user_id: uid}",
        "taste.minor_bands=[x, y]",
        "mlflow.tracking_uri=http://me:secret@host",
    ]
    config = load_config(settings=[*told, "tune.trials=3"], root=str(tmp_path))
    path = search_result.write(
        with_settings(config, {"train.reg": 1e-05, "weights.half_life_days": 33.0}), "why"
    )
    assert "secret" not in path.read_text()
    expected = with_settings(
        load_config(settings=told[:3], root=str(tmp_path)),
        {"train.reg": 1e-05, "weights.half_life_days": 33.0},
    )
    assert load_config(str(path)) == expected
    assert differences(dump(load_config()), dump(load_config())) == {}


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "are better"),
        (-0.01, 0.03, "the difference may be chance"),
        (-0.03, -0.01, "the pools are worse"),
    ],
)
def test_the_verdict_agrees_with_the_interval(low, high, said):
    one = {"value": 0.5, "low": low, "high": high}
    final = {
        "better": low > 0,
        "measures": {
            f"{kind} {who}": one for kind in ("new", "again") for who in ("present", "best", "gain")
        },
    }
    assert said in search_result._verdict({"train.rank": 8}, final)[-1]


def test_a_line_left_half_by_a_kill_is_removed_in_one_step(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    found = search(StudyStorage(path).study("trial", DIMS), 3)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 4, "wor')

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            StudyStorage(path)
    assert path.read_bytes().startswith(whole), "all that was written whole is still there"
    assert search(StudyStorage(path).study("trial", DIMS), 3) == found
    assert path.read_bytes().startswith(whole)
