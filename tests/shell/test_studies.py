"""Studies and spaces of a search, without a flow: resumed as if never stopped, what is refused, pruned or confirmed, and that every proposal is a configuration."""

import time
from types import SimpleNamespace

import pytest

from trackpools.errors import InputError
from trackpools.shell import tuned
from trackpools.shell.search_space import Dim, differences, dump, of_blend, of_model, proposed, with_settings
from trackpools.shell.searching import chosen_by, confirmed
from trackpools.shell.settings import load_config
from trackpools.shell.studies import Journal, optuna
from trackpools.shell.tracking import Tracker

DIMS = [
    Dim("train.reg", 0.1, 1000, 700.0),
    Dim("train.beta", 0.1, 30, 0.0, off=True),
    Dim("train.rank", 4, 64, 8, whole=True),
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
    return [(one["state"], one["value"], one["settings"]) for one in study.told()]


def test_the_present_comes_first_and_what_is_hopeless_is_pruned(tmp_path):
    study = Journal(tmp_path / "a.jsonl").study("trial", DIMS)
    told = search(study, 20)
    assert told[0] == ("complete", pytest.approx(-0.687), {})
    assert {"complete", "pruned"} == {state for state, *_ in told}
    assert study.best.value > told[0][1]
    assert study.best.value == max(value for _, value, _ in told if value is not None)


def test_going_on_after_a_kill_is_the_same_as_not_having_stopped(tmp_path):
    whole = search(Journal(tmp_path / "whole.jsonl").study("trial", DIMS), 14)
    path = tmp_path / "killed.jsonl"
    for trials in (1, 6, 11):
        study = Journal(path).study("trial", DIMS)
        search(study, trials)
        study._own.ask()  # and dies
        with path.open("ab") as file:
            file.write(b'{"op_code":')
        path.with_name("killed.jsonl.lock").symlink_to(path)
    began = time.monotonic()
    assert search(Journal(path).study("trial", DIMS), 14) == whole
    assert time.monotonic() - began < 20
    assert search(Journal(path).study("trial", DIMS), 14, worth=None) == whole  # nothing is tried


def test_a_first_trial_that_was_killed_is_the_present_one_again(tmp_path):
    study = Journal(tmp_path / "a.jsonl").study("trial", DIMS)
    study._mend()
    proposed(DIMS, study._own.ask())
    assert search(Journal(tmp_path / "a.jsonl").study("trial", DIMS), 1)[0][2] == {}


def test_when_time_is_up_only_the_present_is_tried(tmp_path):
    assert len(search(Journal(tmp_path / "a.jsonl").study("trial", DIMS), 9, ends=time.monotonic())) == 1


def test_what_an_engine_refuses_is_a_trial_and_the_present_settings_are_an_error(tmp_path):
    def refusing(settings, trial):
        if settings.get("train.rank", 8) != 8 or not settings:
            raise InputError("too large")
        return 1.0

    with pytest.raises(InputError, match="too large"):
        search(Journal(tmp_path / "a.jsonl").study("trial", DIMS), 3, worth=refusing)
    told = search(
        Journal(tmp_path / "b.jsonl").study("trial", DIMS), 5, worth=lambda s, t: refusing(s, t) if s else 0.5
    )
    assert [state for state, *_ in told][:1] == ["complete"]
    assert "refused" in {state for state, *_ in told} and len(told) == 5


@pytest.mark.parametrize("engine", ["implicit", "mllib", "blocked"])
def test_every_proposal_is_a_configuration_and_the_present_is_one_of_them(engine):
    config = load_config(settings=[f"train.engine={engine}", "train.rank=300", "train.reg=5000.0"])
    dims, study = of_model(config), optuna().create_study(sampler=optuna().samplers.TPESampler(seed=3))
    assert {"train.nu", "train.alpha0"} <= {dim.key for dim in dims} or engine != "blocked"
    study.enqueue_trial({name: value for dim in dims for name, value in dim.present.items()})
    assert proposed(dims, study.ask()) == {}
    tried = [proposed(dims, study.ask()) for _ in range(60)]
    assert {one["train.beta"] > 0 for one in tried} == {True, False}
    ranks = {with_settings(config, one).train.rank for one in tried}
    assert min(ranks) < 16 and max(ranks) <= 300
    assert all(with_settings(config, one).train.engine == engine for one in tried)


def test_weights_are_searched_of_who_proposes_new_recordings_against_the_heaviest():
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
        return confirmed(SimpleNamespace(best=SimpleNamespace(user_attrs=attrs), present=present), 0.1)

    assert best(new1=0.51) == {"sources.tags.weight": 2.0}
    assert best(new1=0.5) == {}
    assert best(new1=0.6, again1=0.71) == {}
    assert confirmed(None, 0.1) == {}
    assert chosen_by({"new0": 0.6, "again0": 0.73}, present, 0.1) == 0.6
    assert chosen_by({"new0": 0.6, "again0": 0.52}, present, 0.1) == pytest.approx(0.4)
    assert chosen_by({"new0": 0.6, "again0": 0.1}, None, 0.1) == 0.6


def test_the_overlay_holds_what_differs_and_no_password(tmp_path):
    told = [
        "train.rank=9",
        "ingest.columns={user_id: uid}",
        "taste.minor_bands=[x, y]",
        "mlflow.tracking_uri=http://me:secret@host",
    ]
    config = load_config(settings=[*told, "tune.trials=3"], root=str(tmp_path))
    path = tuned.write(with_settings(config, {"train.reg": 1e-05, "weights.half_life_days": 33.0}), "why")
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
        (-0.01, 0.03, "no difference that shows"),
        (-0.03, -0.01, "pools are worse"),
    ],
)
def test_the_verdict_is_said_as_the_interval_has_it(low, high, said):
    one = {"value": 0.5, "low": low, "high": high}
    final = {
        "better": low > 0,
        "measures": {
            f"{kind} {who}": one for kind in ("new", "again") for who in ("present", "best", "gain")
        },
    }
    assert said in tuned._verdict({"train.rank": 8}, final)[-1]
