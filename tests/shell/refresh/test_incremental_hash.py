"""Tests of the incremental hash: a table's row count and hash follow from its removed and added rows.

The promises of the table are checked on the added rows only.
"""

import pytest

from builders import rows
from trackpools.core.contracts.conform import content_hash
from trackpools.core.contracts.table_checks import pool_promises
from trackpools.errors import ContractError
from trackpools.shell.refresh.incremental_hash import TableChange, after
from trackpools.shell.store.commits import Stats
from trackpools.tables import POOLS


def pool(user, *recordings, **more):
    return {
        "user_idx": user,
        "candidates": [
            {"recording": one, "score": 1.0, "sources": 1, "propensity": 1.0} for one in recordings
        ],
        "reserve": [],
        "drops": {},
        "emitted": len(recordings),
        **more,
    }


def test_added_and_removed_rows_update_the_hash_and_broken_promises_are_refused(spark):
    promises = {"pools": pool_promises(2)}
    before, gone, came = (
        rows(spark, "pools", *some)
        for some in ((pool(1, 4, 5), pool(2, 6, 7)), (pool(2, 6, 7),), (pool(2, 8, 9),))
    )
    now = rows(spark, "pools", pool(1, 4, 5), pool(2, 8, 9))
    told, wanted = (content_hash(frame, POOLS).first() for frame in (before, now))
    change = TableChange(Stats("pools", 3, told["rows"], told["hash"]), 4, gone, came)
    assert after([change], promises) == after([change]) == [Stats("pools", 4, wanted["rows"], wanted["hash"])]
    twice = TableChange(change.before, 4, gone, rows(spark, "pools", pool(2, 8, 8)))
    with pytest.raises(ContractError, match="pools breaks its promises") as refused:
        after([twice], promises)
    assert refused.value.problems == ["1 × a pool that holds a recording twice"]
    assert after([TableChange(twice.before, 4, twice.added, came)], promises), "removed rows are not checked"
