"""Factors that do not go together are refused before a pool is made of them."""

import pytest

from trackpools import tables as t
from trackpools.errors import ContractError
from trackpools.shell.factor_tables import one_model
from trackpools.shell.store import Store


@pytest.fixture
def store(spark, config):
    return Store(spark, config().store)


def written(spark, store, **changed):
    """Pinned versions of both tables and their ids; `changed` are columns of the recordings."""
    made = {"factors": [0.5, 0.25], "model_version": "run-a", "id_version": 3}
    for table, row in ((t.USER_FACTORS, made), (t.RECORDING_FACTORS, made | changed)):
        rows = (
            []
            if row["factors"] is None
            else [(idx, row["factors"], row["model_version"], row["id_version"]) for idx in range(2)]
        )
        store.overwrite(table, spark.createDataFrame(rows, table.schema), {"stage": "train"})
    return {
        table.name: store.commit(table.name).version for table in (t.USER_FACTORS, t.RECORDING_FACTORS)
    } | {"user_ids": 3, "recording_ids": 5}


def test_factors_of_one_training_have_one_name(spark, store):
    assert one_model(store, written(spark, store)) == "run-a"
    assert one_model(store, written(spark, store, id_version=5)) == "run-a"


@pytest.mark.parametrize(
    ("changed", "say"),
    [
        (
            {"model_version": "run-b"},
            "model_version differs: run-a in user_factors and run-b in recording_factors",
        ),
        ({"factors": [0.5] * 3}, "rank differs: 2 in user_factors and 3 in recording_factors"),
        (
            {"id_version": 6},
            "recording_factors number by recording_ids at version 6, which is read at version 5",
        ),
        ({"factors": None}, "recording_factors holds no factors"),
    ],
)
def test_factors_that_do_not_go_together_are_refused_with_both_names(spark, store, changed, say):
    with pytest.raises(ContractError, match="run `trackpools train`") as refused:
        one_model(store, written(spark, store, **changed))
    assert refused.value.problems == [say]
