"""Tests of packed rows: they hold what the rows held, and a user's lists are found again."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from trackpools.core.arrays import packing
from trackpools.core.arrays.packing import BlockAssignment, UserRows, unpack_values

TYPES = {"user_idx": np.int32, "plays": np.int16, "length": np.int32, "data": bytes}


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    user = rng.integers(0, 90_000, count).astype(np.int32)
    data = [bytes(rng.integers(0, 256, n).astype(np.uint8)) for n in rng.integers(0, 9, count)]
    return pa.table(
        {
            "user_idx": user,
            "plays": rng.integers(-9, 9, count).astype(np.int16),
            "length": pa.array([len(one) for one in data], pa.int32()),
            "data": data,
        }
    )


def rows_by_block(packed):
    """Return {block: sorted rows} of packed batches."""
    found = {}
    for row in pa.Table.from_batches(packed).to_batches(max_chunksize=1):
        columns = [unpack_values(row[name], kind).tolist() for name, kind in list(TYPES.items())[:3]]
        ends, data = np.cumsum([0, *columns[2]]), row["data"][0].as_py()
        parts = [data[a:b] for a, b in itertools.pairwise(ends)]
        found.setdefault(row["block"][0].as_py(), []).extend(zip(*columns, parts, strict=True))
    return {block: sorted(of) for block, of in found.items()}


@pytest.mark.parametrize(
    "into",
    [
        BlockAssignment(1),
        BlockAssignment(7),
        BlockAssignment(1000),
        BlockAssignment(65_536),
        BlockAssignment(100_000),
        BlockAssignment(1, 400),
        BlockAssignment(30, 400),
        BlockAssignment(1000, 400),
    ],
)
@pytest.mark.parametrize("piece", [1, 2000, 2**25])
@pytest.mark.parametrize("ordered", [False, True])
def test_packed_rows_hold_what_the_rows_held(into, piece, ordered, monkeypatch):
    monkeypatch.setattr(packing, "PIECE", piece)
    given = rows(400)
    given = given.sort_by("user_idx") if ordered else given
    expected = {}
    for row in given.to_pylist():
        (block,) = into.of(np.array([row["user_idx"]], np.int32))
        expected.setdefault(int(block), []).append(tuple(row.values()))
    packed = list(packing._pack(into, TYPES)(iter(given.to_batches(max_chunksize=30))))
    assert rows_by_block(packed) == {block: sorted(of) for block, of in expected.items()}


def test_neighbours_share_a_block_and_a_few_of_many_users_fill_theirs(spark):
    assert BlockAssignment(7).of(np.array([0, 6, 7, 2**31 - 1], np.int32)).tolist() == [
        0,
        0,
        1,
        (2**31 - 1) // 7,
    ]
    rng, top = np.random.default_rng(4), 2**31
    few = {
        "scattered": rng.choice(10**6, 3000, replace=False),
        "newcomers": np.arange(top - 3000, top),
        "both": np.concatenate([np.arange(1500), rng.integers(10**7, top, 1500)]),
    }
    for name, idx in few.items():
        into = BlockAssignment(256, len(idx))
        blocks = into.of(idx.astype(np.int32))
        sizes = np.unique(blocks, return_counts=True)[1]
        assert len(sizes) <= 12, name
        assert sizes.max() < 1.3 * 256, name
        column = (
            spark.createDataFrame(pa.table({"user_idx": pa.array(idx.astype(np.int32))}))
            .select(into.column.alias("block"))
            .toArrow()["block"]
        )
        assert np.array_equal(np.asarray(column), blocks), name
    assert set(BlockAssignment(256, 3).of(np.array([0, 5, 2**31 - 1], np.int32)).tolist()) == {0}


def test_no_rows_give_no_packed_rows():
    empty = rows(3).slice(0, 0)
    assert list(packing._pack(BlockAssignment(5), TYPES)(iter([]))) == []
    assert (
        sum(
            batch.num_rows
            for batch in packing._pack(BlockAssignment(5), TYPES)(
                iter(empty.to_batches() or [pa.RecordBatch.from_pylist([], empty.schema)])
            )
        )
        == 0
    )


def test_nulls_in_packed_columns_are_refused():
    with pytest.raises(ValueError, match="plays"):
        list(
            packing._pack(BlockAssignment(5), TYPES)(
                iter([pa.record_batch({**rows(2).to_pydict(), "plays": [1, None]}, schema=rows(2).schema)])
            )
        )


@pytest.mark.parametrize("spread", [1, 60_000])
def test_lists_hold_the_rows_of_their_own_user_only(spread):
    rng = np.random.default_rng(2)
    owners = (rng.integers(0, 40, 300) * spread).astype(np.int32)
    users = (np.arange(0, 50, 3) * spread).astype(np.int32)
    found = UserRows.of(users, owners)
    for u, user in enumerate(users):
        assert (
            found.rows[found.offsets[u] : found.offsets[u + 1]].tolist()
            == np.flatnonzero(owners == user).tolist()
        )
    assert UserRows.of(users, owners[:0]).rows.tolist() == UserRows.of(users[:0], owners).rows.tolist() == []


def test_a_chunked_column_with_nulls_and_offsets_is_read_whole_and_aligned():
    whole = pa.chunked_array(
        [
            pa.array([None, b"abc", np.arange(3, dtype=np.int64).tobytes()]).slice(2),
            pa.array([None, np.int64(7).tobytes()], pa.binary()),
        ]
    )
    assert unpack_values(whole, np.int64).tolist() == [0, 1, 2, 7]
    odd = pa.array([b"abc", np.arange(3, dtype=np.int64).tobytes()]).slice(1)
    assert unpack_values(odd, np.int64).tolist() == [0, 1, 2]
    assert unpack_values(odd, np.int64).flags.aligned
    assert unpack_values(pa.array([None, None], pa.binary()), np.int32).tolist() == []
