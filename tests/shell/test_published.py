"""`trackpools evaluate` on a small split with known answers: every engine, every format, tuning that never opens the test file."""

import json
import time

import numpy as np
import pytest

from conftest import shared_data
from trackpools.cli import _run

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
    """{user: items}: users of three kinds, each with most of what its kind has."""
    rng = np.random.default_rng(5)
    return {
        u: sorted(rng.choice(np.arange(u % 3 * 20, u % 3 * 20 + 20), 14, replace=False).tolist())
        for u in range(90)
    }


@pytest.fixture
def split(tmp_path, had):
    """lightgcn files: of each user four items are the test."""
    for name, part in (("train", slice(0, 10)), ("test", slice(10, None))):
        (tmp_path / name).write_text(
            "".join(
                " ".join(map(str, [u, *np.random.default_rng(u).permutation(items)[part].tolist()])) + "\n"
                for u, items in had.items()
            )
        )
    return tmp_path


def told(capsys, *arguments):
    code = _run(["evaluate", *map(str, arguments), "--json", "--quiet"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def lightgcn(folder):
    return "--train", folder / "train", "--test", folder / "test", "--format", "lightgcn", "--k", "4,10"


@pytest.mark.parametrize("engine", ["popularity", "item_knn", "ease", "implicit", "mllib", "blocked"])
def test_every_engine_is_measured_and_taste_beats_popularity(spark, capsys, split, engine):
    code, answer = told(capsys, *lightgcn(split), "--engine", engine, *SMALL)
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
    # ten of a kind's twenty items are unheard, and four of them the test: whoever knows the kind finds nearly all of them among ten
    assert (answer["metrics"]["recall@10"] > 0.8) == (engine != "popularity"), answer["metrics"]
    assert answer["notes"] == []


def test_a_search_never_opens_the_test_file(spark, capsys, split, monkeypatch):
    from trackpools.shell import published, tuning

    opened = []
    monkeypatch.setattr(
        published,
        "read_pairs",
        lambda path, form, real=published.read_pairs: (
            opened.append((path.name, time.monotonic())),
            real(path, form),
        )[1],
    )
    settled = []
    monkeypatch.setattr(
        tuning,
        "searched",
        lambda *a, real=tuning.searched, **k: (real(*a, **k), settled.append(time.monotonic()))[0],
    )
    code, answer = told(capsys, *lightgcn(split), "--engine", "item_knn", "--tune", 4)
    assert (code, [name for name, _ in opened]) == (0, ["train", "test"])
    assert opened[0][1] < settled[0] < opened[1][1]
    assert answer["settings"]["item_knn_neighbours"] != 100


def test_strong_generalisation_folds_in_who_was_not_trained(spark, capsys, tmp_path, had):
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
        code, answer = told(capsys, *common, "--engine", engine, *SMALL)
        assert (code, answer["metrics"]["recall@10"] > 0.6) == (0, True), (engine, answer)


def test_one_among_its_negatives(spark, capsys, tmp_path):
    (tmp_path / "train").write_text(
        "".join(f"{u}\t{i}\t1\t0\n" for u in range(4) for i in range(u + 1))
    )  # item 0 is had by 4, 3 by one
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
    code, answer = told(capsys, *common, "--negatives", tmp_path / "negatives")
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
    assert told(capsys, *common)[0] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--engine", "svd"), "no engine is called"),
        (("--format", "csv"), "no format is called"),
        (("--test", "/nowhere"), "cannot be read"),
        (("--negatives", "x"), "--negatives goes with"),
        (("--fold-in", "x"), "--fold-in goes with"),
        (("--engine", "popularity", "--tune", "2"), "has no settings"),
        (("--engine", "implicit", "--set", "train.nu=0.5"), "configuration"),
    ],
)
def test_what_cannot_be_meant_is_said(spark, capsys, split, change, message):
    code, answer = told(capsys, *lightgcn(split), *change)
    assert code == 2
    assert message in answer["error"]["message"]


def test_lists_that_end_before_k_are_told(spark, capsys, split):
    code, answer = told(capsys, *lightgcn(split)[:-1], "100", "--engine", "popularity")
    assert code == 0
    assert "above the 60 items" in answer["notes"][0]


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_gowalla_popularity_is_the_published_row(spark, capsys):
    folder = shared_data("gowalla_m1")
    code, answer = told(
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
