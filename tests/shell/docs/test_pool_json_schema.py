"""Tests of the JSON schema of a decoded pool: it is current, and real pools and the docs keep to it."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

import trackpools
from trackpools.shell.docs.pool_json_schema import pool_schema
from trackpools.shell.releases import releases, show_pools
from trackpools.shell.store.store import Store

DOCS = Path(trackpools.__file__).parent / "docs"


def faults(pool):
    """Return where a decoded pool breaks its schema, as path and message."""
    Draft202012Validator.check_schema(pool_schema())
    found = Draft202012Validator(pool_schema(), format_checker=FormatChecker()).iter_errors(pool)
    return [f"{error.json_path}: {error.message}" for error in found]


def test_the_text_is_current():
    assert json.loads((DOCS / "pool.schema.json").read_text(encoding="utf-8")) == pool_schema()


def test_the_example_of_the_docs_fits_the_schema():
    (example,) = re.findall(r"```json\n(.*?)```", (DOCS / "pools.md").read_text(encoding="utf-8"), re.DOTALL)
    pool = json.loads(example)
    assert faults(pool) == []
    assert pool["k"] + sum(pool["drops"].values()) == pool["emitted"] == len(pool["candidates"]) + 2


def test_real_pools_fit_the_schema(spark, released):
    store = Store(spark, released.store)
    shown = show_pools.show_pools(store, releases.latest(store), released, (), 5)
    assert len(shown) == 5
    assert [fault for pool in shown for fault in faults(json.loads(json.dumps(pool)))] == []
    assert set(shown[0]) == set(pool_schema()["properties"])
    assert set(shown[0]["candidates"][0]) == set(
        pool_schema()["properties"]["candidates"]["items"]["properties"]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": "2"}, "$.k: '2' is not of type 'integer'"),
        ({"candidates": [{}]}, "$.candidates[0]: 'rank' is a required property"),
        ({"drops": {"a": None}}, "$.drops.a"),
    ],
)
def test_a_fault_is_reported_by_its_key(change, said):
    pool = {"user_id": "u", "k": 0, "shortfall": None, "emitted": 0, "drops": {}, "candidates": []}
    assert faults(pool) == []
    assert any(said in fault for fault in faults(pool | change))
