"""Tests of the check that refuses factors that do not belong together, before pools are built."""

import pytest

from trackpools import tables as t
from trackpools.errors import ContractError
from trackpools.shell.pipeline.factor_check import one_model
from trackpools.shell.store.store import Store


@pytest.fixture
def store(spark, config):
    return Store(spark, config().store)


def write_factors(spark, store, **changed):
    """Write both tables; return their pinned versions and those of the ids.

    `changed` overrides columns of the recordings.
    """
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
    assert one_model(store, write_factors(spark, store)) == "run-a"
    assert one_model(store, write_factors(spark, store, id_version=5)) == "run-a"


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
            "recording_factors uses the numbers of recording_ids at version 6, but that table is read at version 5",
        ),
        ({"factors": None}, "recording_factors holds no factors"),
    ],
)
def test_factors_of_different_trainings_are_refused_with_both_names(spark, store, changed, say):
    with pytest.raises(ContractError, match="run `trackpools train`") as refused:
        one_model(store, write_factors(spark, store, **changed))
    assert refused.value.problems == [say]
