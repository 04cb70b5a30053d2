"""Train `blocked` under spark-submit on a log built by Spark, and print a hash of all factors.

The job writes one file for each iteration. Arguments: the folder for these files; the number of users; the
number of recordings, each of which some user played; further settings.
"""

import json
import resource
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.config.loading import load_config
from trackpools.shell.training import blocked

folder, users, recordings, settings = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
EACH = 40  # the number of rows of each user
config = load_config(settings=settings).train
spark = SparkSession.builder.getOrCreate()
row = spark.range(users * EACH, numPartitions=8).select(
    (F.col("id") % users).cast("int").alias("user_idx"), F.xxhash64("id").alias("hash")
)
popular = F.pow(F.pmod("hash", F.lit(1_000_003)) / 1_000_003, 3)
rated = row.select(
    "user_idx",
    (popular * recordings).cast("int").alias("recording_idx"),
    (1 + F.pmod("hash", F.lit(5))).cast("double").alias("positive"),
)
each = F.xxhash64("id").alias("hash")
known = spark.range(recordings, numPartitions=8).select(
    F.pmod(each, F.lit(users)).cast("int"), F.col("id").cast("int"), F.lit(1.0)
)
training = (
    rated.union(known)
    .groupBy("user_idx", "recording_idx")
    .agg(F.max("positive").alias("positive"), F.lit(0.0).alias("negative"))
)
told = []


def content(frame):
    return str(frame.agg(F.sum(F.xxhash64("idx", "factors").cast("decimal(38,0)"))).first()[0])


def report_iteration(loss):
    told.append((loss, time.monotonic()))
    (folder / f"iteration-{len(told)}").touch()


people, catalogue, curve = blocked.fit(training, config, config.rank, report_iteration)
answer = {"users": content(people), "recordings": content(catalogue), "curve": curve}
times = [moment for _, moment in told]
spent = {
    "iteration_s": (times[-1] - times[0]) / max(1, len(times) - 1),
    "driver_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}
(folder / "spent.json").write_text(json.dumps(spent))
print(json.dumps(answer))
