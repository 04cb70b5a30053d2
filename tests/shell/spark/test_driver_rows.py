"""Tests that rows of the driver become a frame unchanged, and without a Python worker."""

import datetime as dt

import pytest
from pyspark.sql.types import StructType

from trackpools.shell.spark.driver_rows import frame_of
from trackpools.tables import RELEASES

ODD = 'of "quotes", \\ and \n lines, 日本語, \u2028, {"json": [1]}, ${x} and \x00'
AT = dt.datetime(2026, 2, 28, 23, 59, 59, 123456, dt.UTC)


def test_rows_are_unchanged_in_the_frame(spark):
    row = {
        "seq": 2**62,
        "release_id": ODD,
        "run_key": "",
        "tables": [{"name": ODD, "version": 0, "rows": 7, "hash": "7:-1"}],
        "model_version": "m",
        "mlflow_run_id": None,
        "dictionary": {"source:0": "als", ODD: ODD},
        "as_of": AT,
        "created_at": AT.replace(year=1969),
        "valid_until": AT.replace(year=9999),
        "channel": "prod",
        "share": 0.1,
        "files": None,
        "arrays": {"als": ODD},
    }
    frame = frame_of(spark, [row, row | {"seq": -1, "tables": [], "share": None}], RELEASES.schema)
    assert frame.schema.simpleString() == RELEASES.schema.simpleString()
    first, second = (one.asDict(recursive=True) for one in frame.collect())
    assert first | {"as_of": first["as_of"].astimezone(dt.UTC)} == row | {
        name: first[name] for name in ("created_at", "valid_until")
    }
    assert [first[name].astimezone(dt.UTC) for name in ("created_at", "valid_until")] == [
        row["created_at"],
        row["valid_until"],
    ]
    assert (second["seq"], second["tables"], second["share"]) == (-1, [], None)
    assert frame_of(spark, [], RELEASES.schema).count() == 0
    assert "python" not in frame._jdf.queryExecution().toString().lower()


def test_a_value_that_a_row_cannot_hold_is_refused(spark):
    schema = StructType().add("at", "timestamp").add("share", "double")
    with pytest.raises(TypeError, match="not a value of a row"):
        frame_of(spark, [{"at": AT.replace(tzinfo=None)}], schema)
    with pytest.raises(ValueError, match="JSON"):
        frame_of(spark, [{"share": float("nan")}], schema)
