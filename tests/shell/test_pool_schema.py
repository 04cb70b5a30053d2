"""The schema of a decoded pool: its text is current, real pools keep to it, and the example in the docs does."""

import json
import re
from pathlib import Path

import pytest

import trackpools
from pool_faults import faults
from trackpools.shell import look, releases
from trackpools.shell.pool_schema import pool_schema
from trackpools.shell.store import Store

DOCS = Path(trackpools.__file__).parent / "docs"


def test_the_text_is_current():
    assert json.loads((DOCS / "pool.schema.json").read_text(encoding="utf-8")) == pool_schema()


def test_the_example_of_the_docs_keeps_to_it():
    (example,) = re.findall(r"```json\n(.*?)```", (DOCS / "pools.md").read_text(encoding="utf-8"), re.DOTALL)
    pool = json.loads(example)
    assert faults(pool) == []
    assert pool["k"] + sum(pool["drops"].values()) == pool["emitted"] == len(pool["candidates"]) + 2


def test_real_pools_keep_to_it(spark, released):
    store = Store(spark, released.store)
    shown = look.show_pools(store, releases.latest(store), released, (), 5)
    assert len(shown) == 5
    assert [fault for pool in shown for fault in faults(json.loads(json.dumps(pool)))] == []
    assert set(shown[0]) == set(pool_schema()["properties"])
    assert set(shown[0]["candidates"][0]) == set(
        pool_schema()["properties"]["candidates"]["items"]["properties"]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": "2"}, "pool.k: '2' is not integer"),
        ({"candidates": [{}]}, "pool.candidates[0]: no rank"),
        ({"drops": {"a": None}}, "pool.drops.a"),
    ],
)
def test_a_fault_is_told_by_its_key(change, said):
    pool = {"user_id": "u", "k": 0, "shortfall": None, "emitted": 0, "drops": {}, "candidates": []}
    assert faults(pool) == []
    assert any(said in fault for fault in faults(pool | change))
