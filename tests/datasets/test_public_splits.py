"""Tests of published splits: four formats, and oddities that are counted or refused with their line."""

import numpy as np
import pytest

from trackpools.datasets.public_splits import build_test_set, build_training_matrix, read_pairs
from trackpools.errors import ConfigError, InputError


def write_file(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("lightgcn", "a x y\nb z\n\n"),
        ("ncf", "a\tx\t5\t1\na\ty\t1\t2\nb\tz\t3\t3\n"),
        ("pairs", "a,x\na, y\nb,z\n"),
        ("vae", "uid,sid\na,x\na,y\nb,z\n"),
    ],
)
def test_each_format_gives_the_same_pairs(tmp_path, form, text):
    assert read_pairs(write_file(tmp_path, "f", text), form) == (["a", "a", "b"], ["x", "y", "z"])


@pytest.mark.parametrize(
    ("form", "text"),
    [("ncf", "a\tx\nb\n"), ("pairs", "a,x\nb\n"), ("pairs", "a,x\nb,\n"), ("vae", "a,x\na,b,c\n")],
)
def test_lines_that_are_not_of_the_format_are_named(tmp_path, form, text):
    with pytest.raises(InputError, match="1 lines that do not have the form") as caught:
        read_pairs(write_file(tmp_path, "f", text), form)
    assert caught.value.problems[0].startswith("line 2: ")


def test_missing_unreadable_and_empty_files_and_unknown_formats_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none", "pairs")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "bytes", "pairs")
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(write_file(tmp_path, "f", "\n"), "pairs")
    with pytest.raises(ConfigError, match="there is no format"):
        read_pairs(tmp_path / "none", "csv")


TRAIN = (["a", "a", "a", "b", "c"], ["x", "y", "y", "z", "x"])


def test_oddities_are_counted_and_nothing_is_dropped_silently():
    train, notes = build_training_matrix(TRAIN)
    assert notes == ["train: 1 pairs occur more than once and are counted once"]
    asked = build_test_set(
        train, (["a", "a", "a", "b", "b", "new", "c"], ["x", "z", "unknown", "x", "x", "x", "x"])
    )
    assert asked.rows.tolist() == [0, 1, -1, 2]
    assert asked.history.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert [one.tolist() for one in asked.relevant] == [[2, 3], [0], [0], []]
    assert asked.notes == [
        "1 test pairs occur more than once and are counted once",
        "2 test pairs are in the user's history too; they are left out, because a recommender never offers them",
        "1 test items are not in train and count as missed",
        "1 test users have no history and count as missed",
        "1 test users have no relevant items left; they have no value and are not part of any mean",
    ]


def test_fold_in_is_the_history_of_users_who_were_not_trained():
    train, _ = build_training_matrix(TRAIN)
    asked = build_test_set(
        train, (["n", "m"], ["x", "z"]), fold_in=(["n", "n", "m", "nobody"], ["y", "unknown", "x", "x"])
    )
    assert asked.rows.tolist() == [0, 1]
    assert asked.history.toarray().tolist() == [[0, 1, 0], [1, 0, 0]]
    assert asked.notes == [
        "fold-in: 2 pairs are left out, because their user is not in the test or their item is not in train"
    ]


def test_negatives_are_given_beside_the_test_item(tmp_path):
    train, _ = build_training_matrix((["0", "1"], ["5", "6"]))
    asked = build_test_set(
        train, (["0", "1"], ["6", "9"]), negatives=write_file(tmp_path, "n", "(0,6)\t5\t7\n(1, 9)\t6\t5\n")
    )
    assert [one.tolist() for one in asked.relevant] == [[1], [2]]
    assert [one.tolist() for one in asked.negatives] == [[0, 3], [1, 0]]
    with pytest.raises(InputError, match="do not match the test") as caught:
        build_test_set(
            train, (["0", "1"], ["6", "9"]), negatives=write_file(tmp_path, "n", "(0,5)\t5\nx\n(7,6)\t1\n")
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "line 1",
        "line 2",
        "line 3",
        "2 test users have no line",
    ]


def test_a_user_is_the_same_whatever_the_order_of_lines():
    one, _ = build_training_matrix(TRAIN)
    other, _ = build_training_matrix((TRAIN[0][::-1], TRAIN[1][::-1]))
    assert (one.users, one.items) == (other.users, other.items)
    assert np.array_equal(one.matrix.toarray(), other.matrix.toarray())
