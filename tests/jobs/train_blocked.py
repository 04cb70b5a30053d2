"""Under spark-submit: train `blocked` on a log made by Spark, tell each iteration by a file, and print a hash of all factors.

Arguments: the folder to tell in; users; recordings; further settings.
"""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from trackpools.shell.engines import blocked
from trackpools.shell.settings import load_config

folder, users, recordings, settings = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
EACH = 40  # rows a user
config = load_config(settings=settings).train
spark = SparkSession.builder.getOrCreate()
row = spark.range(users * EACH, numPartitions=8).select((F.col("id") % users).cast("int").alias("user_idx"), F.xxhash64("id").alias("hash"))
popular = F.pow(F.pmod("hash", F.lit(1_000_003)) / 1_000_003, 3)
rated = row.select("user_idx", (popular * recordings).cast("int").alias("recording_idx"), (1 + F.pmod("hash", F.lit(5))).cast("double").alias("positive"))
training = rated.groupBy("user_idx", "recording_idx").agg(F.max("positive").alias("positive"), F.lit(0.0).alias("negative"))
told = []


def tell(loss):
    told.append(loss)
    (folder / f"iteration-{len(told)}").touch()


def content(frame):
    return str(frame.agg(F.sum(F.xxhash64("idx", "factors").cast("decimal(38,0)"))).first()[0])


people, catalogue, curve = blocked.fit(training, config, config.rank, tell)
print(json.dumps({"users": content(people), "recordings": content(catalogue), "curve": curve}))
