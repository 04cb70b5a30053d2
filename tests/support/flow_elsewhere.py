"""Run the flow in a separate process, on a session or store that this process's Spark cannot have.

The script reads one JSON object and prints one. The input has `settings`, `root`, `events` (a folder),
`overlay`, and `connect`: the confs of a Connect server to start, as a foreign server.
"""

import json
import os
import sys
import time
import warnings
from pathlib import Path

os.environ["TZ"] = "UTC"
time.tzset()
sys.path.insert(0, str(Path(__file__).parent))


def connected(confs):
    """Return a Connect session that trackpools did not build."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    SparkContext._ensure_initialized(
        conf=SparkConf().setAll(list(confs.items()))
    )  # starts the JVM first: with the variable below, it would check every plan of its own
    os.environ["SPARK_TESTING"] = "1"  # with it, Spark gives a server of `local[2]` a free port
    builder = SparkSession.builder.remote("local[2]")
    for key, value in confs.items():
        builder = builder.config(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return builder.getOrCreate()


def watched(conf):
    """Return a list that collects the names of the confs that are set or unset from now on.

    Spark and Delta set some confs in another way, which is not collected.
    """
    told = []

    def watch(plain):
        def call(self, key, *value):
            told.append(key)
            return plain(self, key, *value)

        return call

    for name in ("set", "unset"):
        setattr(conf, name, watch(getattr(conf, name)))
    return told


def refused(config):
    """Return the error, its exit code and its message where trackpools refuses to run, or None."""
    from flows import AS_OF, run
    from trackpools.errors import TrackpoolsError

    try:
        run(config, AS_OF)
    except TrackpoolsError as error:
        return [type(error).__name__, error.exit_code, str(error)]
    return None


def versions(spark, config):
    from trackpools.shell.store.store import Store
    from trackpools.tables import TABLES

    store = Store(spark, config.store)
    return {name: store.version(name) for name in TABLES}


def trained(spark, config):
    """Return the factors of a small world by `blocked`, as lists."""
    from trackpools.shell.training.train import train
    from worlds import Blocks

    fit = train(Blocks().training(spark), config.train)
    return [side.orderBy("idx").toArrow().to_pylist() for side in (fit.users, fit.recordings)]


def answers(asked):
    from flows import AS_OF, hashes, run
    from trackpools.config.loading import load_config
    from trackpools.shell.command import Options
    from trackpools.shell.commands import pipeline, queries
    from trackpools.shell.spark.session import spark_session

    def config(*more):
        return load_config(asked.get("overlay"), [*asked["settings"], *more], asked["root"])

    c, told = config(), {}
    spark = connected(asked["connect"]) if "connect" in asked else spark_session(c.session)
    told["confs set"] = watched(type(spark.conf))
    if "connect" in asked:
        told["refused"] = refused(config("train.engine=mllib"))
        told["tables after that"] = Path(asked["root"], "tables").exists()
        told["blocked"] = trained(spark, config("train.engine=blocked", "train.rank=4", "train.iterations=3"))
    told["imported"] = pipeline.import_log(c, Options(quiet=True), "events", asked["events"]).more["accepted"]
    first = run(c, AS_OF)
    told["lines"], told["hashes"] = [line for line in first.lines if isinstance(line, str)], hashes(spark, c)
    told["warnings"], told["release"], told["versions"] = first.warnings, first.release_id, versions(spark, c)
    told["pools"] = [json.loads(line) for line in queries.pools(c, ("u001",), 1, as_json=True).lines]
    told["explained"] = len(queries.explain(c, "u001", 5).more["because"])
    if asked.get("serve"):
        from trackpools.core.pools import online
        from trackpools.shell.serving.loaded_release import LoadedRelease

        opened = LoadedRelease.of(c)
        told["on demand"] = [
            one["recording"] for one in online.pool(opened.release, opened.online_user("u001"))["candidates"]
        ]
    return told


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # keeps whatever the flow prints out of the answer
    print(json.dumps(answers(json.load(sys.stdin)), default=str), file=out)
