"""Tests of the registered model on a real sqlite MLflow: fold-in, registry, alias, and no pickle."""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import functions as F

from builders import rows
from trackpools.config.loading import load_config
from trackpools.core.als.fold_in_users import fold_in, signed_values
from trackpools.core.evaluation.baselines import top_items
from trackpools.errors import InputError
from trackpools.shell.tracking.mlflow_server import tracking_uri
from trackpools.shell.tracking.registry import (
    TrainingInfo,
    export_factors,
    register,
    repair_alias,
    save,
    set_alias,
    write_npz,
)
from trackpools.shell.tracking.tracker import Tracker

ABOUT = TrainingInfo(model_version="model-1", engine="implicit", alpha=10.0, reg=0.1, nu=0.0, alpha0=0.0)
CONFIG = load_config().mlflow


def two_tastes(n=20, rank=4, seed=0):
    """Return the factors, idx and names of two blocks of recordings.

    The factors of a0… point along the first axis, and those of b0… along the last.
    """
    noise = np.random.default_rng(seed).normal(0, 0.05, (n, rank)).astype(np.float32)
    block = np.arange(n) >= n // 2
    noise[~block, 0] += 1
    noise[block, -1] += 1
    names = np.array([f"{'b' if b else 'a'}{i}" for i, b in enumerate(block)])
    return noise, np.arange(n, dtype=np.int32), names


@pytest.fixture
def npz(tmp_path):
    return write_npz(tmp_path / "factors.npz", *two_tastes(), ABOUT)


@pytest.fixture
def local_model(tmp_path, npz):
    import mlflow

    return mlflow.pyfunc.load_model(str(save(tmp_path / "saved", npz)))


def test_a_model_is_registered_and_predicts_by_its_alias_without_any_pickle(root, npz):
    import mlflow

    with Tracker(CONFIG, root, "flow-1", "demo") as tracker, tracker.stage("train"):
        run_id = tracker.stage_run_id("train")
        version = register(CONFIG, root, run_id, npz, ABOUT)
        assert register(CONFIG, root, run_id, npz, ABOUT) == version == "1"
    assert set_alias(CONFIG, root, version)
    mlflow.set_tracking_uri(tracking_uri(CONFIG, root))
    model = mlflow.pyfunc.load_model("models:/trackpools@champion")
    out = model.predict(pd.DataFrame({"recording_ids": [["a0", "a1"], ["b11"]]}), params={"k": 3})
    assert [{name[0] for name in names} for names in out["recording_ids"]] == [{"a"}, {"b"}]
    assert [len(scores) for scores in out["scores"]] == [3, 3]
    files = [path for path in Path(root, "mlartifacts").rglob("*") if path.is_file()]
    assert {"pyfunc_model.py", "factors.npz", "MLmodel", "requirements.txt"} <= {path.name for path in files}
    assert not [path for path in files if path.suffix in {".pkl", ".pickle", ".joblib"}]
    assert not [path for path in files if "cloudpickle" in path.name]
    (run,) = mlflow.search_runs(
        experiment_names=["trackpools"],
        filter_string="tags.`trackpools.stage` = 'train'",
        output_format="list",
    )
    assert len(run.outputs.model_outputs) == 1


def test_the_npz_holds_plain_arrays_only(npz):
    with zipfile.ZipFile(npz) as archive:
        for name in archive.namelist():
            assert b"'O'" not in archive.read(name)[:200], name
    with np.load(npz, allow_pickle=False) as held:
        assert set(held) == {"factors", "recording_idx", "recording_id", "about"}
        assert held["factors"].dtype == np.float32
        assert held["recording_idx"].dtype == np.int32


def test_the_alias_follows_the_release_row(root, npz, tmp_path):
    tracker = Tracker(CONFIG, root, "flow-1", "demo")
    run_id = tracker.run_id
    second = write_npz(
        tmp_path / "second.npz", *two_tastes(seed=1), TrainingInfo("model-2", "implicit", 10.0, 0.1, 0.0, 0.0)
    )
    assert repair_alias(CONFIG, root, "model-1") is None
    assert register(CONFIG, root, run_id, npz, ABOUT) == "1"
    assert (
        register(CONFIG, root, run_id, second, TrainingInfo("model-2", "implicit", 10.0, 0.1, 0.0, 0.0))
        == "2"
    )
    assert [
        repair_alias(CONFIG, root, name) for name in ("model-2", "model-1", "model-1", "never trained")
    ] == ["2", "1", "1", None]
    tracker.finish()


def test_a_dead_server_costs_the_model_but_not_the_run(root, npz):
    config = load_config(settings=["mlflow.tracking_uri=http://127.0.0.1:9"]).mlflow
    assert register(config, root, "run", npz, ABOUT) is None
    assert not set_alias(config, root, "1")
    assert repair_alias(config, root, "model-1") is None
    assert register(CONFIG, root, None, npz, ABOUT) is None


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_fold_in_solves_the_objective_of_the_training(tmp_path, nu):
    import mlflow

    factors, idx, names = two_tastes()
    about = TrainingInfo("m", "mllib", alpha=3.0, reg=0.5, nu=nu, alpha0=0.0)
    model = mlflow.pyfunc.load_model(
        str(save(tmp_path / "saved", write_npz(tmp_path / "f.npz", factors, idx, names, about)))
    )
    weights = {"a1": 2.0, "a3": 0.0, "b12": 1.0}
    w = np.array([weights.get(name, 0.0) for name in names])
    p = np.array([float(name in weights) for name in names])
    c = 1 + about.alpha * w
    y = factors.astype(float)
    user = np.linalg.solve(y.T @ np.diag(c) @ y + about.reg * 3**nu * np.eye(4), y.T @ (c * p))
    out = model.predict(
        pd.DataFrame({"recording_ids": [list(weights)], "weights": [list(weights.values())]}),
        params={"k": 17},
    )
    want = sorted(
        (name for name in names if name not in weights), key=lambda name: -(y @ user)[list(names).index(name)]
    )
    assert out["recording_ids"][0] == want
    np.testing.assert_allclose(
        out["scores"][0],
        sorted((y @ user)[[n not in weights for n in names]], reverse=True),
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_smaller_of_k_and_the_available_count_is_returned(local_model):
    everything = [str(name) for name in two_tastes()[2]]
    asked = pd.DataFrame({"recording_ids": [["a0"], everything[:-2], everything, ["unknown"], []]})
    assert [len(names) for names in local_model.predict(asked, params={"k": 1000})["recording_ids"]] == [
        19,
        2,
        0,
        0,
        0,
    ]
    assert len(local_model.predict(asked)["recording_ids"][0]) == 10


def test_the_model_carries_a_request_that_it_answers(local_model):
    example = local_model.input_example
    assert list(example.columns) == ["recording_ids", "weights"]
    assert len(local_model.predict(example, params={"k": 5})["recording_ids"][0]) == 5


def test_a_history_gets_the_recordings_of_the_batch(spark, tmp_path):
    """Check the model against fold-in on executors and its inner products.

    Both give the same recordings in the same order.
    """
    import mlflow

    factors, idx, names = two_tastes(n=300, rank=8, seed=3)
    train = load_config(
        settings=[
            "train.engine=blocked",
            "train.alpha=7",
            "train.reg=0.3",
            "train.nu=0.5",
            "train.alpha0=0.01",
            "train.user_steps=0",
        ]
    ).train
    rng = np.random.default_rng(6)
    heard = {user: rng.choice(300, 12, replace=False) for user in range(20)}
    weights = {user: rng.gamma(1, 2, 12) for user in heard}
    pairs = [(u, int(r), float(w)) for u in heard for r, w in zip(heard[u], weights[u], strict=True)]
    training = spark.createDataFrame(pairs, "user_idx int, recording_idx int, positive double").withColumn(
        "negative", F.lit(0.0)
    )
    users = {
        row["idx"]: np.array(row["factors"])
        for row in fold_in(signed_values(training, train), idx, factors.astype(np.float64), train).collect()
    }
    npz = write_npz(
        tmp_path / "factors.npz",
        factors,
        idx,
        names,
        TrainingInfo("m", "blocked", train.alpha, train.regularisation, train.exponent, train.alpha0),
    )
    model = mlflow.pyfunc.load_model(str(save(tmp_path / "saved", npz)))
    asked = pd.DataFrame(
        {
            "recording_ids": [names[heard[u]].tolist() for u in heard],
            "weights": [weights[u].tolist() for u in heard],
        }
    )
    answers = model.predict(asked, params={"k": 25})
    for user, (found, scores) in enumerate(zip(answers["recording_ids"], answers["scores"], strict=True)):
        batch = factors @ users[user].astype(np.float32)
        batch[heard[user]] = -np.inf
        best = top_items(batch, 25)
        assert found == names[best].tolist()
        assert scores == pytest.approx(batch[best].tolist(), rel=1e-4)


def test_ties_go_to_the_lower_row(tmp_path):
    import mlflow

    path = write_npz(
        tmp_path / "f.npz",
        np.ones((6, 2), np.float32),
        np.arange(6, dtype=np.int32),
        np.array(list("abcdef")),
        ABOUT,
    )
    model = mlflow.pyfunc.load_model(str(save(tmp_path / "saved", path)))
    assert model.predict(pd.DataFrame({"recording_ids": [["c"]]}), params={"k": 3})["recording_ids"][0] == [
        "a",
        "b",
        "d",
    ]


def test_wrong_weights_are_refused_with_the_request_that_has_them(local_model):
    with pytest.raises(ValueError, match="request 1: weights must be"):
        local_model.predict(pd.DataFrame({"recording_ids": [["a0"], ["a1"]], "weights": [[1.0], [-1.0]]}))
    with pytest.raises(ValueError, match="k must be at least 1"):
        local_model.predict(pd.DataFrame({"recording_ids": [["a0"]]}), params={"k": 0})


def test_invalid_factors_are_refused_with_every_problem(tmp_path):
    factors, idx, names = two_tastes()
    factors[0, 0] = np.nan
    with pytest.raises(InputError) as error:
        write_npz(tmp_path / "f.npz", factors, idx[1:], names.astype(object), ABOUT)
    assert len(error.value.problems) == 3


def test_factors_are_read_from_the_tables_by_idx_up_to_the_allowed_size(spark, tmp_path):
    factors = rows(
        spark, "recording_factors", {"idx": 7, "factors": [1.0, 2.0]}, {"idx": 2, "factors": [3.0, 4.0]}
    )
    ids = rows(
        spark,
        "recording_ids",
        {"recording_id": "x" * 40, "recording_idx": 2},
        {"recording_id": "seven", "recording_idx": 7},
    )
    with np.load(
        export_factors(factors, ids, tmp_path / "f.npz", ABOUT, max_mb=1), allow_pickle=False
    ) as held:
        assert held["factors"].tolist() == [[3.0, 4.0], [1.0, 2.0]]
        assert held["recording_id"].tolist() == ["x" * 40, "seven"]
    assert export_factors(factors, ids, tmp_path / "g.npz", ABOUT, max_mb=0) is None


def test_no_warning_of_mlflow_reaches_the_user_when_a_model_is_saved(tmp_path, npz):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        save(tmp_path / "saved", npz)
    assert [str(one.message) for one in shown if one.category is UserWarning] == []
