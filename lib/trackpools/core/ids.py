"""String id ↔ dense int32: append only, never renumbered, the same whatever the partitions."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

INT32_MAX = 2**31 - 1
BUCKETS = 256  # of the numbering; part of the result, so a constant


def recording_of(tracks: DataFrame) -> DataFrame:
    """`track_id, recording_id` of a catalogue: the recording, or the track where the catalogue has none."""
    return tracks.select("track_id", F.coalesce("recording_id", "track_id").alias("recording_id"))


def new_ids(seen: DataFrame, known: DataFrame, id_name: str, idx_name: str) -> DataFrame:
    """Ids that have no int yet, with the ints that follow the highest one given.

    New ids are hashed into a fixed number of buckets and numbered inside each, then shifted by the sizes of the buckets
    before it: a function of the set of ids alone, without a global window and safe to recompute by a lost task.

    Args:
        seen: any rows with column `id_name`; repeats and nulls are passed over.
        known: `id_name, idx_name` given so far.

    Returns:
        `id_name string, idx_name long` for the new ids only; long, so that an overflow can be seen and refused.
    """
    fresh = (
        seen.select(id_name).where(F.col(id_name).isNotNull()).distinct()
        .join(known.select(id_name), id_name, "left_anti")
        .withColumn("_bucket", F.pmod(F.xxhash64(id_name), F.lit(BUCKETS)).cast("int"))
    )
    # one row: [(bucket, size), …] in bucket order → bucket → number of ids in the buckets before it
    sizes = fresh.groupBy("_bucket").count().agg(F.array_sort(F.collect_list(F.struct("_bucket", "count"))).alias("sizes"))
    start = known.agg((F.coalesce(F.max(idx_name).cast("long"), F.lit(-1)) + 1).alias("start"))
    numbered = fresh.groupBy("_bucket").agg(F.array_sort(F.collect_set(id_name)).alias("ids")).select("_bucket", F.posexplode("ids").alias("_n", id_name))
    return numbered.crossJoin(F.broadcast(sizes)).crossJoin(F.broadcast(start)).select(
        id_name, (F.col("start") + _before("_bucket") + F.col("_n")).alias(idx_name)
    )


def _before(bucket: str) -> Column:
    """Ids in the buckets before this one."""
    earlier = F.filter("sizes", lambda size: size["_bucket"] < F.col(bucket))
    return F.aggregate(earlier, F.lit(0).cast("long"), lambda total, size: total + size["count"])
