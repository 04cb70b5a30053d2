"""Published splits: four formats, and whatever is odd in them is counted or refused by line."""

import numpy as np
import pytest

from trackpools.datasets.splits import asked_of, read_pairs, trained_on
from trackpools.errors import ConfigError, InputError


def written(folder, name, text):
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
def test_each_format_tells_the_same_pairs(tmp_path, form, text):
    assert read_pairs(written(tmp_path, "f", text), form) == (["a", "a", "b"], ["x", "y", "z"])


@pytest.mark.parametrize(
    ("form", "text"),
    [("ncf", "a\tx\nb\n"), ("pairs", "a,x\nb\n"), ("pairs", "a,x\nb,\n"), ("vae", "a,x\na,b,c\n")],
)
def test_lines_that_are_not_of_the_format_are_named(tmp_path, form, text):
    with pytest.raises(InputError, match="1 lines are not") as caught:
        read_pairs(written(tmp_path, "f", text), form)
    assert caught.value.problems[0].startswith("line 2: ")


def test_no_file_no_pairs_no_format(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none", "pairs")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "bytes", "pairs")
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(written(tmp_path, "f", "\n"), "pairs")
    with pytest.raises(ConfigError, match="no format is called"):
        read_pairs(tmp_path / "none", "csv")


TRAIN = (["a", "a", "a", "b", "c"], ["x", "y", "y", "z", "x"])


def test_what_is_odd_is_counted_and_nothing_is_dropped_unseen():
    train, notes = trained_on(TRAIN)
    assert notes == ["train: 1 pairs stand there more than once and count once"]
    asked = asked_of(
        train, (["a", "a", "a", "b", "b", "new", "c"], ["x", "z", "unknown", "x", "x", "x", "x"])
    )
    assert asked.rows.tolist() == [0, 1, -1, 2]
    assert asked.history.toarray().tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert [one.tolist() for one in asked.relevant] == [[2, 3], [0], [0], []]
    assert asked.notes == [
        "1 test pairs stand there more than once and count once",
        "2 test pairs are history too: nobody is offered what he has, so they are left out",
        "1 test items are unknown to train: they count as missed",
        "1 test users have no history: they count as missed",
        "1 test users have nothing left that is relevant: they have no value and are in no mean",
    ]


def test_fold_in_is_the_history_of_users_who_were_not_trained():
    train, _ = trained_on(TRAIN)
    asked = asked_of(
        train, (["n", "m"], ["x", "z"]), fold_in=(["n", "n", "m", "nobody"], ["y", "unknown", "x", "x"])
    )
    assert asked.rows.tolist() == [0, 1]
    assert asked.history.toarray().tolist() == [[0, 1, 0], [1, 0, 0]]
    assert asked.notes == [
        "fold-in: 2 pairs are of users not in the test or of items not in train, and are left out"
    ]


def test_negatives_stand_beside_the_test_s_item(tmp_path):
    train, _ = trained_on((["0", "1"], ["5", "6"]))
    asked = asked_of(
        train, (["0", "1"], ["6", "9"]), negatives=written(tmp_path, "n", "(0,6)\t5\t7\n(1, 9)\t6\t5\n")
    )
    assert [one.tolist() for one in asked.relevant] == [[1], [2]]
    assert [one.tolist() for one in asked.negatives] == [[0, 3], [1, 0]]
    with pytest.raises(InputError, match="does not fit the test") as caught:
        asked_of(train, (["0", "1"], ["6", "9"]), negatives=written(tmp_path, "n", "(0,5)\t5\nx\n(7,6)\t1\n"))
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "line 1",
        "line 2",
        "line 3",
        "2 test users have no line",
    ]


def test_a_user_is_the_same_whatever_the_order_of_lines():
    one, _ = trained_on(TRAIN)
    other, _ = trained_on((TRAIN[0][::-1], TRAIN[1][::-1]))
    assert (one.users, one.items) == (other.users, other.items)
    assert np.array_equal(one.matrix.toarray(), other.matrix.toarray())
