"""Read published train and test files of a log into the memory of one machine.

Irregularities such as repeated pairs are counted and reported in notes, so that nothing is dropped silently.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from trackpools.core.arrays.array_types import Int64Array
from trackpools.errors import ConfigError, InputError

MAX_PROBLEMS = 5  # most examples that an error shows
Pairs = tuple[list[str], list[str]]  # users and items of equal length: pair i is (users[i], items[i])


@dataclass(frozen=True)
class InteractionMatrix:
    """Which users interacted with which items.

    Attributes:
        users: user name → row of the matrix.
        items: item name → column of the matrix.
        matrix: binary csr float32 [users, items].
    """

    users: dict[str, int]
    items: dict[str, int]
    matrix: sparse.csr_matrix


@dataclass(frozen=True)
class PublicTestSet:
    """The users of a test with their histories, relevant items and negatives.

    Attributes:
        rows: int64 [test users], the user's row in the training matrix, or −1 for a user who is not in it. If
            the histories are from fold-in pairs, it is the user's position among the test users.
        history: binary csr [test users, training items], the known items of each user; they are never
            recommended.
        relevant: for each user, int64 numbers of the items that a recommender should find. If there are n
            training items, the numbers n and above stand for items that are not in train; no recommender can
            find them.
        negatives: for each user, int64 numbers of the items that are ranked together with the relevant one;
            None if all items are ranked.
        notes: one sentence for each kind of irregularity, with its count.
        heard: binary csr [test users, training items], further items that are not recommended to the user, in
            addition to `history`; None if there are none.
    """

    rows: Int64Array
    history: sparse.csr_matrix
    relevant: list[Int64Array]
    negatives: list[Int64Array] | None
    notes: list[str]
    heard: sparse.csr_matrix | None = None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number (from 1) and the text of every line that is not blank."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error


def _parsed(path: Path, parse: Callable[[str], list[tuple[str, str]] | None], wanted: str) -> Pairs:
    """Parse every line of a file into pairs.

    Args:
        path: the file.
        parse: returns the pairs of a line, or None for a line of another format.
        wanted: the form of a line, for the error message.

    Raises:
        InputError: if a line has another format, or the file has no pairs.
    """
    users, items, problems = [], [], []
    for number, line in _lines(path):
        found = parse(line)
        if found is None:
            problems.append(f"line {number}: {line[:60]!r}")
            continue
        for user, item in found:
            users.append(user)
            items.append(item)
    if problems:
        more = [f"and {len(problems) - MAX_PROBLEMS:,} more"] if len(problems) > MAX_PROBLEMS else []
        raise InputError(
            f"{path} has {len(problems):,} lines that do not have the form {wanted}",
            problems[:MAX_PROBLEMS] + more,
        )
    if not users:
        raise InputError(f"{path} holds no pairs; its lines must have the form {wanted}")
    return users, items


def _lightgcn(line: str) -> list[tuple[str, str]] | None:
    user, *items = line.split()
    return [(user, item) for item in items]


def _comma(line: str) -> list[tuple[str, str]] | None:
    parts = [part.strip() for part in line.split(",")]
    if parts[:2] in (["uid", "sid"], ["user", "item"]):
        return []  # a header
    return [(parts[0], parts[1])] if len(parts) == 2 and all(parts) else None


def _rated(line: str) -> list[tuple[str, str]] | None:
    parts = line.split("\t")
    return [(parts[0], parts[1])] if len(parts) >= 2 and all(parts[:2]) else None


# format → the parser of a line, and the form of a line
FORMATS: dict[str, tuple[Callable[[str], list[tuple[str, str]] | None], str]] = {
    "lightgcn": (_lightgcn, "user item item …"),
    "ncf": (_rated, "user⇥item⇥rating⇥time"),
    "pairs": (_comma, "user,item"),
    "vae": (_comma, "user,item"),
}
NEGATIVES = "(user,item)⇥negative⇥negative…"


def read_pairs(path: Path, form: str) -> Pairs:
    """Read the (user, item) pairs of a file.

    Args:
        path: the file.
        form: name of its format, a key of `FORMATS`.

    Returns:
        Two lists of equal length: user names and item names.

    Raises:
        ConfigError: if there is no such format.
        InputError: if lines have another format (the error shows some of them), or the file has no pairs.
    """
    if form not in FORMATS:
        raise ConfigError(f"there is no format {form!r:.40}; the formats are {', '.join(FORMATS)}")
    return _parsed(path, *FORMATS[form])


def build_training_matrix(pairs: Pairs) -> tuple[InteractionMatrix, list[str]]:
    """Build the training matrix; return it with a list of notes on pairs that occur more than once."""
    users, items = ({name: i for i, name in enumerate(sorted(set(names)))} for names in pairs)
    rows, columns = ([of[name] for name in names] for of, names in zip((users, items), pairs, strict=True))
    matrix = _binary(rows, columns, (len(users), len(items)))
    twice = len(rows) - matrix.nnz
    return InteractionMatrix(users, items, matrix), [
        f"train: {twice:,} pairs occur more than once and are counted once"
    ] if twice else []


def _binary(rows: Any, columns: Any, shape: tuple[int, int]) -> Any:
    """Build a binary csr matrix; a cell that is given more than once is 1 too."""
    made = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    made.sum_duplicates()
    made.data[:] = 1
    return made


def build_test_set(
    train: InteractionMatrix, test: Pairs, *, negatives: Path | None = None, fold_in: Pairs | None = None
) -> PublicTestSet:
    """Build the test set for a training matrix.

    Args:
        train: the training matrix.
        test: (user, item) pairs of the test.
        negatives: file with the items that are ranked together with each (user, item) of the test; None ranks
            all items.
        fold_in: (user, item) pairs of the test users' histories, if these users are not in the training matrix
            (strong generalisation). None takes the histories from the training matrix.

    Raises:
        InputError: if the file of negatives cannot be read or does not fit the test.
    """
    items = dict(train.items)
    notes: list[str] = []
    who = {name: i for i, name in enumerate(dict.fromkeys(test[0]))}
    new = [name for name in dict.fromkeys(test[1]) if name not in items]
    items |= {name: len(items) + i for i, name in enumerate(new)}
    rows = np.array(
        [train.users.get(name, -1) if fold_in is None else i for name, i in who.items()], np.int64
    )
    history = _history(train, who, rows, fold_in, notes)
    wanted: list[set[int]] = [set() for _ in who]
    for user, item in zip(*test, strict=True):
        wanted[who[user]].add(items[item])
    known = [
        set(history.indices[history.indptr[u] : history.indptr[u + 1]].tolist()) for u in range(len(who))
    ]
    counts = {
        "test pairs occur more than once and are counted once": len(test[0]) - sum(map(len, wanted)),
        "test pairs are in the user's history too; they are left out, because a recommender never offers them": sum(
            len(a & b) for a, b in zip(wanted, known, strict=True)
        ),
        "test items are not in train and count as missed": len(new),
        "test users have no history and count as missed": int((np.diff(history.indptr) == 0).sum()),
    }
    notes += [f"{n:,} {what}" for what, n in counts.items() if n]
    relevant = [np.array(sorted(a - b), np.int64) for a, b in zip(wanted, known, strict=True)]
    if empty := sum(not len(one) for one in relevant):
        notes.append(
            f"{empty:,} test users have no relevant items left; they have no value and are not part of any mean"
        )
    return PublicTestSet(
        rows,
        history,
        relevant,
        None if negatives is None else _negatives(negatives, who, items, relevant),
        notes,
    )


def _history(
    train: InteractionMatrix, who: dict[str, int], rows: Int64Array, fold_in: Pairs | None, notes: list[str]
) -> Any:
    """Build the histories of the test's users, binary csr [test users, training items].

    A note on fold-in pairs that are left out is added to `notes`.
    """
    shape = len(who), len(train.items)
    if fold_in is None:
        known = np.flatnonzero(rows >= 0)
        picked = sparse.csr_matrix(
            (np.ones(len(known), np.float32), (known, rows[known])), (shape[0], len(train.users))
        )
        return picked @ train.matrix
    kept = [
        (who[user], train.items[item])
        for user, item in zip(*fold_in, strict=True)
        if user in who and item in train.items
    ]
    if left := len(fold_in[0]) - len(kept):
        notes.append(
            f"fold-in: {left:,} pairs are left out, because their user is not in the test or their item is not in train"
        )
    return _binary([u for u, _ in kept], [i for _, i in kept], shape)


def _negatives(
    path: Path, who: dict[str, int], items: dict[str, int], relevant: list[Int64Array]
) -> list[Int64Array]:
    """Read the negatives of each user, in the order of the file.

    Items that are neither in train nor in test are added to `items`, with numbers after all others.

    Raises:
        InputError: if a line has another format or does not fit the test, or a test user has no line.
    """
    found: dict[int, list[int]] = {}
    problems = []
    for number, line in _lines(path):
        head, *names = line.split("\t")
        pair = re.fullmatch(r"\((.+),\s*(.+)\)", head)
        if pair is None or not names:
            problems.append(f"line {number}: {line[:60]!r} does not have the form {NEGATIVES}")
        elif pair[1] not in who:
            problems.append(f"line {number}: user {pair[1][:40]!r} is not in the test")
        elif [items.get(pair[2])] != relevant[who[pair[1]]].tolist():
            problems.append(
                f"line {number}: user {pair[1][:40]!r} must have exactly one test item outside of the history, and it must be {pair[2][:40]!r}"
            )
        else:
            found[who[pair[1]]] = [items.setdefault(name, len(items)) for name in names]
    if missing := len(who) - len(found):
        problems.append(f"{missing:,} test users have no line")
    if problems:
        raise InputError(
            f"the negatives in {path} do not match the test; give --test and --negatives the files of the same split",
            problems[:MAX_PROBLEMS],
        )
    return [np.array(found[u], np.int64) for u in range(len(who))]
