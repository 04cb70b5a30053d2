"""Rows for tests: a test names the columns that it is about, and the schema fills the others."""

import datetime as dt

from pyspark.sql import types as T

from trackpools.tables import TABLES

FILL = {
    T.StringType: "x",
    T.IntegerType: 0,
    T.LongType: 0,
    T.ShortType: 0,
    T.ByteType: 0,
    T.FloatType: 0.0,
    T.DoubleType: 0.0,
    T.BooleanType: False,
    T.DateType: dt.date(2025, 1, 1),
    T.TimestampType: dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
    T.ArrayType: [],
    T.MapType: {},
    T.StructType: None,
}


def rows(spark, table, *given):
    """Return a frame of `table` with one row for each dict.

    NOT NULL columns that are left out get a neutral value, and nullable ones get null.
    """
    schema = TABLES[table].schema
    unknown = {key for row in given for key in row} - set(schema.names)
    assert not unknown, f"{table} has no columns {unknown}"
    filled = [
        tuple(row.get(f.name, None if f.nullable else FILL[type(f.dataType)]) for f in schema)
        for row in given
    ]
    relaxed = T.StructType([T.StructField(f.name, f.dataType, True) for f in schema])
    return spark.createDataFrame(filled, relaxed)
