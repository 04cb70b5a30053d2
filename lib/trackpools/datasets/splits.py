"""Published splits: train and test files as the field shares them, read whole on one machine. What is odd is counted and told, never dropped unseen."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trackpools.errors import ConfigError, InputError

MOST_PROBLEMS = 5
Longs = NDArray[np.int64]
Pairs = tuple[list[str], list[str]]


@dataclass(frozen=True)
class Interactions:
    """Who had what: binary float32 [users, items], rows and columns named by `users` and `items`."""

    users: dict[str, int]
    items: dict[str, int]
    matrix: Any


@dataclass(frozen=True)
class Asked:
    """What a test asks: for each of its users which items are relevant, among which, and what is known of the user.

    Attributes:
        rows: int64 [asked], the user's row of the training matrix, −1 where it has none; with histories of their own, their place in the test.
        history: binary csr [asked, items]: what is known of the user, and never an answer.
        relevant: by user, int64 items; from `items` on those that train does not know, which nobody can hit.
        negatives: by user, int64 items that stand beside the relevant one; None where every item does.
        notes: what is odd, counted.
        heard: binary csr [asked, items] of what is offered to nobody beside the history; None where the history is all.
    """

    rows: Longs
    history: Any
    relevant: list[Longs]
    negatives: list[Longs] | None
    notes: list[str]
    heard: Any = None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: {error}") from error


def _parsed(path: Path, parse: Callable[[str], list[tuple[str, str]] | None], wanted: str) -> Pairs:
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
        more = [f"and {len(problems) - MOST_PROBLEMS:,} more"] if len(problems) > MOST_PROBLEMS else []
        raise InputError(f"{path}: {len(problems):,} lines are not {wanted}", problems[:MOST_PROBLEMS] + more)
    if not users:
        raise InputError(f"{path} holds no pairs; a line is {wanted}")
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


# format → how a line is read, and what it is
FORMATS: dict[str, tuple[Callable[[str], list[tuple[str, str]] | None], str]] = {
    "lightgcn": (_lightgcn, "user item item …"),
    "ncf": (_rated, "user⇥item⇥rating⇥time"),
    "pairs": (_comma, "user,item"),
    "vae": (_comma, "user,item"),
}
NEGATIVES = "(user,item)⇥negative⇥negative…"


def read_pairs(path: Path, form: str) -> Pairs:
    """(user, item) of every line.

    Raises:
        ConfigError: where nobody knows the format.
        InputError: naming lines that are not of the format, or where there are none.
    """
    if form not in FORMATS:
        raise ConfigError(f"no format is called {form!r:.40}; known: {', '.join(FORMATS)}")
    return _parsed(path, *FORMATS[form])


def trained_on(pairs: Pairs) -> tuple[Interactions, list[str]]:
    """The training matrix, and how many pairs stood there more than once."""
    users, items = ({name: i for i, name in enumerate(sorted(set(names)))} for names in pairs)
    rows, columns = ([of[name] for name in names] for of, names in zip((users, items), pairs, strict=True))
    matrix = _binary(rows, columns, (len(users), len(items)))
    twice = len(rows) - matrix.nnz
    return Interactions(users, items, matrix), [
        f"train: {twice:,} pairs stand there more than once and count once"
    ] if twice else []


def _binary(rows: Any, columns: Any, shape: tuple[int, int]) -> Any:
    made = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    made.sum_duplicates()
    made.data[:] = 1
    return made


def asked_of(
    train: Interactions, test: Pairs, *, negatives: Path | None = None, fold_in: Pairs | None = None
) -> Asked:
    """What the test asks of who was trained.

    Args:
        negatives: file that names for each (user, item) of the test what stands beside it.
        fold_in: history of the test's users, who were not trained (strong generalisation); else theirs is what they have in train.
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
        "test pairs stand there more than once and count once": len(test[0]) - sum(map(len, wanted)),
        "test pairs are history too: nobody is offered what he has, so they are left out": sum(
            len(a & b) for a, b in zip(wanted, known, strict=True)
        ),
        "test items are unknown to train: they count as missed": len(new),
        "test users have no history: they count as missed": int((np.diff(history.indptr) == 0).sum()),
    }
    notes += [f"{n:,} {what}" for what, n in counts.items() if n]
    relevant = [np.array(sorted(a - b), np.int64) for a, b in zip(wanted, known, strict=True)]
    if empty := sum(not len(one) for one in relevant):
        notes.append(
            f"{empty:,} test users have nothing left that is relevant: they have no value and are in no mean"
        )
    return Asked(
        rows,
        history,
        relevant,
        None if negatives is None else _negatives(negatives, who, items, relevant),
        notes,
    )


def _history(
    train: Interactions, who: dict[str, int], rows: Longs, fold_in: Pairs | None, notes: list[str]
) -> Any:
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
            f"fold-in: {left:,} pairs are of users not in the test or of items not in train, and are left out"
        )
    return _binary([u for u, _ in kept], [i for _, i in kept], shape)


def _negatives(path: Path, who: dict[str, int], items: dict[str, int], relevant: list[Longs]) -> list[Longs]:
    """Of each user, in the file's order; items that nobody knows get numbers behind all others."""
    found: dict[int, list[int]] = {}
    problems = []
    for number, line in _lines(path):
        head, *names = line.split("\t")
        pair = re.fullmatch(r"\((.+),\s*(.+)\)", head)
        if pair is None or not names:
            problems.append(f"line {number}: {line[:60]!r} is not {NEGATIVES}")
        elif pair[1] not in who:
            problems.append(f"line {number}: user {pair[1][:40]!r} is not in the test")
        elif [items.get(pair[2])] != relevant[who[pair[1]]].tolist():
            problems.append(
                f"line {number}: the test's one item of user {pair[1][:40]!r} is not {pair[2][:40]!r}"
            )
        else:
            found[who[pair[1]]] = [items.setdefault(name, len(items)) for name in names]
    if missing := len(who) - len(found):
        problems.append(f"{missing:,} test users have no line")
    if problems:
        raise InputError(f"{path} does not fit the test", problems[:MOST_PROBLEMS])
    return [np.array(found[u], np.int64) for u in range(len(who))]
