"""Tests of `trackpools evaluate` on a small published split with known answers.

Every engine and every format is run, and a search for settings never opens the test file.
"""

import json
import time

import numpy as np
import pytest

from conftest import shared_data
from trackpools.cli import invoke

SMALL = (
    "--set",
    "train.rank=8",
    "--set",
    "train.reg=0.1",
    "--set",
    "train.alpha=10",
    "--set",
    "train.iterations=6",
    "--set",
    "train.blocks=2",
)


@pytest.fixture(scope="module")
def had():
    """Return {user: items} of users of three kinds; each user has most of the items of the own kind."""
    rng = np.random.default_rng(5)
    return {
        u: sorted(rng.choice(np.arange(u % 3 * 20, u % 3 * 20 + 20), 14, replace=False).tolist())
        for u in range(90)
    }


@pytest.fixture
def split(tmp_path, had):
    """Write lightgcn files with four items of each user in the test; return their folder."""
    for name, part in (("train", slice(0, 10)), ("test", slice(10, None))):
        (tmp_path / name).write_text(
            "".join(
                " ".join(map(str, [u, *np.random.default_rng(u).permutation(items)[part].tolist()])) + "\n"
                for u, items in had.items()
            )
        )
    return tmp_path


def run_evaluate(capsys, *arguments):
    code = invoke(["evaluate", *map(str, arguments), "--json", "--quiet"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def lightgcn(folder):
    return "--train", folder / "train", "--test", folder / "test", "--format", "lightgcn", "--k", "4,10"


@pytest.mark.parametrize("engine", ["popularity", "item_knn", "ease", "implicit", "mllib", "blocked"])
def test_every_engine_is_measured_and_taste_beats_popularity(spark, capsys, split, engine):
    code, answer = run_evaluate(capsys, *lightgcn(split), "--engine", engine, *SMALL)
    assert code == 0
    assert answer["counts"] == {
        "train_users": 90,
        "items": 60,
        "train_pairs": 900,
        "test_users": 90,
        "test_pairs": 360,
    }
    assert set(answer["metrics"]) == {f"{name}@{k}" for name in ("recall", "ndcg", "hr") for k in (4, 10)}
    assert answer["settings"]["engine"] == engine
    # Of the twenty items of a kind, a user has not heard ten, and four of these are the test. An engine that
    # knows the kind finds nearly all of them among ten.
    assert (answer["metrics"]["recall@10"] > 0.8) == (engine != "popularity"), answer["metrics"]
    assert answer["notes"] == []


def test_a_search_never_opens_the_test_file(spark, capsys, split, monkeypatch):
    from trackpools.shell.evaluation import public_split

    opened = []
    monkeypatch.setattr(
        public_split,
        "read_pairs",
        lambda path, form, real=public_split.read_pairs: (
            opened.append((path.name, time.monotonic())),
            real(path, form),
        )[1],
    )
    settled = []
    monkeypatch.setattr(
        public_split,
        "search_settings",
        lambda *a, real=public_split.search_settings, **k: (real(*a, **k), settled.append(time.monotonic()))[
            0
        ],
    )
    code, answer = run_evaluate(capsys, *lightgcn(split), "--engine", "item_knn", "--tune", 4)
    assert (code, [name for name, _ in opened]) == (0, ["train", "test"])
    assert opened[0][1] < settled[0] < opened[1][1]
    assert answer["settings"]["item_knn_neighbours"] != 100


def test_strong_generalisation_folds_in_users_outside_training(spark, capsys, tmp_path, had):
    pairs = [(u, i) for u, items in had.items() for i in items]
    files = {
        "train": [p for p in pairs if p[0] < 60],
        "fold": [p for p in pairs if p[0] >= 60 and p[1] % 2],
        "test": [p for p in pairs if p[0] >= 60 and not p[1] % 2],
    }
    for name, rows in files.items():
        (tmp_path / name).write_text("uid,sid\n" + "".join(f"{u},{i}\n" for u, i in rows))
    common = (
        "--train",
        tmp_path / "train",
        "--test",
        tmp_path / "test",
        "--fold-in",
        tmp_path / "fold",
        "--format",
        "vae",
        "--k",
        "10",
    )
    for engine in ("blocked", "implicit", "ease"):
        code, answer = run_evaluate(capsys, *common, "--engine", engine, *SMALL)
        assert (code, answer["metrics"]["recall@10"] > 0.6) == (0, True), (engine, answer)


def test_a_test_item_is_ranked_among_its_negatives(spark, capsys, tmp_path):
    (tmp_path / "train").write_text(
        "".join(f"{u}\t{i}\t1\t0\n" for u in range(4) for i in range(u + 1))
    )  # four users have item 0, and one user has item 3
    (tmp_path / "test").write_text("0\t1\t1\t9\n1\t3\t1\t9\n")
    (tmp_path / "negatives").write_text("(0,1)\t2\t3\n(1,3)\t2\t9\n")
    common = (
        "--train",
        tmp_path / "train",
        "--test",
        tmp_path / "test",
        "--format",
        "ncf",
        "--engine",
        "popularity",
        "--k",
        "1,2",
    )
    code, answer = run_evaluate(capsys, *common, "--negatives", tmp_path / "negatives")
    assert code == 0
    assert answer["metrics"] == pytest.approx(
        {
            "hr@1": 0.5,
            "hr@2": 1.0,
            "recall@1": 0.5,
            "recall@2": 1.0,
            "ndcg@1": 0.5,
            "ndcg@2": (1 + 1 / np.log2(3)) / 2,
        }
    )
    assert run_evaluate(capsys, *common)[0] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--engine", "svd"), "there is no engine"),
        (("--format", "csv"), "there is no format"),
        (("--test", "/nowhere"), "cannot be read"),
        (("--negatives", "x"), "--negatives must be given with"),
        (("--fold-in", "x"), "--fold-in must be given with"),
        (("--engine", "popularity", "--tune", "2"), "has no settings"),
        (("--engine", "implicit", "--set", "train.nu=0.5"), "configuration"),
    ],
)
def test_invalid_options_are_refused(spark, capsys, split, change, message):
    code, answer = run_evaluate(capsys, *lightgcn(split), *change)
    assert code == 2
    assert message in answer["error"]["message"]


def test_lists_shorter_than_k_are_reported(spark, capsys, split):
    code, answer = run_evaluate(capsys, *lightgcn(split)[:-1], "100", "--engine", "popularity")
    assert code == 0
    assert "above the number of items, 60" in answer["notes"][0]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_gowalla_popularity_is_the_published_row(spark, capsys):
    folder = shared_data("gowalla_m1")
    code, answer = run_evaluate(
        capsys,
        "--train",
        folder / "train.txt",
        "--test",
        folder / "test.txt",
        "--format",
        "lightgcn",
        "--engine",
        "popularity",
        "--k",
        "20",
    )
    assert code == 0
    assert answer["metrics"]["recall@20"] == pytest.approx(0.0416, rel=0.01)
    assert answer["metrics"]["ndcg@20"] == pytest.approx(0.0317, rel=0.01)
