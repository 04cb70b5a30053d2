"""Tests of stripes: they cover all recordings once, and each reaches every block in its own partition."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from trackpools.core.als.stripes import Layout, addressed, addresses, begin, rows_of


@pytest.mark.parametrize("blocks", [1, 3, 4, 100])
def test_every_block_is_addressed_by_an_int_that_spark_hashes_into_it(spark, blocks):
    told = spark.createDataFrame([(address,) for address in addresses(blocks)], "at int").select(
        F.pmod(F.hash("at"), F.lit(blocks)).alias("block")
    )
    assert [row["block"] for row in told.collect()] == list(range(blocks))


def test_every_stripe_reaches_every_block_in_its_own_partition(spark):
    sent = (
        addressed(spark.createDataFrame([(stripe,) for stripe in range(5)], "stripe int"), 3)
        .repartition(3, "at")
        .withColumn("partition", F.spark_partition_id())
    )
    address = addresses(3)
    assert sorted((row["partition"], row["at"], row["stripe"]) for row in sent.collect()) == sorted(
        (block, address[block], stripe) for block in range(3) for stripe in range(5)
    )


@pytest.mark.parametrize(
    ("recordings", "most"), [(1, 1), (10, 4 * 3 * 4), (12, 4 * 3 * 4), (1_000_000, 2**40)]
)
def test_stripes_cover_all_recordings_once_within_their_bytes(recordings, most):
    layout = Layout.of(recordings, 3, most)
    parts = [layout.part(stripe) for stripe in range(layout.count)]
    assert np.concatenate([np.arange(recordings)[part] for part in parts]).tolist() == list(range(recordings))
    assert all(part.stop - part.start == 1 or 12 * (part.stop - part.start) <= most for part in parts)
    assert 12 * layout.rows <= 4 * 2**20


def test_a_start_in_stripes_is_the_start_of_the_whole(spark):
    layout = Layout(7, 3, 2)
    batches = spark.range(layout.count).toArrow().to_batches()
    made = [np.frombuffer(row["y"]) for row in rows_of(begin(layout, 42, 0.01)(iter(batches)))]
    assert np.concatenate(made).tobytes() == (0.01 * np.random.default_rng(42).random((7, 3))).tobytes()
