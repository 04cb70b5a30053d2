"""Give each string id an integer, counting from 0 without gaps.

An id keeps its integer for ever; new ids get the next ones. Callers refuse an integer above INT32_MAX. The numbers do not depend on partitions.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

INT32_MAX = 2**31 - 1
BUCKETS = 256  # hash groups of `new_ids`; not configurable, because this decides the integers of new ids


def recording_of(tracks: DataFrame) -> DataFrame:
    """Return `track_id, recording_id` of a catalogue, one row for each row of `tracks`.

    A track whose `recording_id` is null gets its `track_id` as `recording_id`.
    """
    return tracks.select("track_id", F.coalesce("recording_id", "track_id").alias("recording_id"))


def new_ids(seen: DataFrame, existing: DataFrame, id_name: str, idx_name: str) -> DataFrame:
    """Number the ids that have no number yet, with the integers after the highest number in use.

    New ids are hashed into a fixed number of buckets, and sorted inside each bucket. An id gets the first
    free integer, plus the count of new ids in earlier buckets, plus its position in its own bucket, from 0.
    So no window over all ids is needed. The numbers depend only on the sets of ids, old and new, and
    on the highest number in use, so a lost task can be recomputed safely.

    Args:
        seen: rows with the column that `id_name` names; repeated ids and nulls are ignored.
        existing: the two named columns of the ids numbered so far.
        id_name: name of the column with the string id.
        idx_name: name of the column with the number.

    Returns:
        `id_name string, idx_name long`, one row for each new id. The number has the type long, so that the caller can
        detect and refuse one that is too large for int32.
    """
    fresh = (
        seen.select(id_name)
        .where(F.col(id_name).isNotNull())
        .distinct()
        .join(existing.select(id_name), id_name, "left_anti")
        .withColumn("_bucket", F.pmod(F.xxhash64(id_name), F.lit(BUCKETS)).cast("int"))
    )
    sizes = (
        fresh.groupBy("_bucket")
        .count()
        .agg(F.map_from_entries(F.collect_list(F.struct("_bucket", "count"))).alias("sizes"))
    )
    # `first` is one row with an array: for each bucket, the number of new ids in earlier buckets.
    size = F.transform(
        F.sequence(F.lit(0), F.lit(BUCKETS - 1)),
        lambda bucket: F.coalesce(F.col("sizes")[bucket], F.lit(0).cast("long")),
    )
    first = sizes.select(size.alias("size")).select(_running_total("size").alias("first"))
    start = existing.agg((F.coalesce(F.max(idx_name).cast("long"), F.lit(-1)) + 1).alias("start"))
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
    """Return an array column: for each element of the array `sizes`, the sum of the elements before it.

    Both arrays have BUCKETS elements. For example, [3, 0, 2] gives [0, 3, 3].
    """
    up_to = F.aggregate(
        sizes,
        F.array(F.lit(0).cast("long")),
        lambda sums, size: F.concat(sums, F.array(F.element_at(sums, F.lit(-1)) + size)),
    )
    return F.slice(up_to, 1, BUCKETS)
