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
        seen.select(id_name)
        .where(F.col(id_name).isNotNull())
        .distinct()
        .join(known.select(id_name), id_name, "left_anti")
        .withColumn("_bucket", F.pmod(F.xxhash64(id_name), F.lit(BUCKETS)).cast("int"))
    )
    sizes = (
        fresh.groupBy("_bucket")
        .count()
        .agg(F.map_from_entries(F.collect_list(F.struct("_bucket", "count"))).alias("sizes"))
    )
    # one row, `first`: at each bucket the number of ids in the buckets before it, computed once and then only looked up
    size = F.transform(
        F.sequence(F.lit(0), F.lit(BUCKETS - 1)),
        lambda bucket: F.coalesce(F.col("sizes")[bucket], F.lit(0).cast("long")),
    )
    first = sizes.select(size.alias("size")).select(_running_total("size").alias("first"))
    start = known.agg((F.coalesce(F.max(idx_name).cast("long"), F.lit(-1)) + 1).alias("start"))
    numbered = (
        fresh.groupBy("_bucket")
        .agg(F.array_sort(F.collect_list(id_name)).alias("ids"))
        .select("_bucket", F.posexplode("ids").alias("_n", id_name))
    )
    before = F.element_at("first", F.col("_bucket") + 1)
    return numbered.crossJoin(F.broadcast(first.crossJoin(start))).select(
        id_name, (F.col("start") + before + F.col("_n")).alias(idx_name)
    )


def _running_total(sizes: str) -> Column:
    """Sums of the elements before each one: [3, 0, 2] → [0, 3, 3]."""
    up_to = F.aggregate(
        sizes,
        F.array(F.lit(0).cast("long")),
        lambda sums, size: F.concat(sums, F.array(F.element_at(sums, F.lit(-1)) + size)),
    )
    return F.slice(up_to, 1, BUCKETS)
