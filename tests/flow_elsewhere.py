"""The flow in a process of its own, on a session or a store that this process's Spark cannot have: reads a JSON object, prints one.

Asked: `settings`, `root`, `events` (a folder), `overlay`, and `connect`: confs of a Connect server to be started, as somebody else would.
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
    """A Connect session that trackpools did not build."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    SparkContext._ensure_initialized(
        conf=SparkConf().setAll(list(confs.items()))
    )  # the JVM; were it told what follows, it would check every plan of its own
    os.environ["SPARK_TESTING"] = "1"  # by which Spark gives a server of `local[2]` a port that nobody has
    builder = SparkSession.builder.remote("local[2]")
    for key, value in confs.items():
        builder = builder.config(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return builder.getOrCreate()


def watched(conf):
    """Names of the confs that are set or unset from now on; Spark and Delta set some on their own, by another way."""
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
    """What trackpools says, and with which exit code, where it will not run."""
    from flows import AS_OF, run
    from trackpools.errors import TrackpoolsError

    try:
        run(config, AS_OF)
    except TrackpoolsError as error:
        return [type(error).__name__, error.exit_code, str(error)]
    return None


def versions(spark, config):
    from trackpools.shell.store import Store
    from trackpools.tables import TABLES

    store = Store(spark, config.store)
    return {name: store.version(name) for name in TABLES}


def trained(spark, config):
    """Factors of a small world by `blocked`, as lists."""
    from trackpools.shell.engines import train
    from worlds import Blocks

    fit = train(Blocks().training(spark), config.train)
    return [side.orderBy("idx").toArrow().to_pylist() for side in (fit.users, fit.recordings)]


def answers(asked):
    from flows import AS_OF, hashes, run
    from trackpools.shell import tell, work
    from trackpools.shell.command import Options
    from trackpools.shell.session import spark_session
    from trackpools.shell.settings import load_config

    def config(*more):
        return load_config(asked.get("overlay"), [*asked["settings"], *more], asked["root"])

    c, told = config(), {}
    spark = connected(asked["connect"]) if "connect" in asked else spark_session(c.session)
    told["confs set"] = watched(type(spark.conf))
    if "connect" in asked:
        told["refused"] = refused(config("train.engine=mllib"))
        told["tables after that"] = Path(asked["root"], "tables").exists()
        told["blocked"] = trained(spark, config("train.engine=blocked", "train.rank=4", "train.iterations=3"))
    told["imported"] = work.import_log(c, Options(quiet=True), "events", asked["events"]).more["accepted"]
    first = run(c, AS_OF)
    told["lines"], told["hashes"] = [line for line in first.lines if isinstance(line, str)], hashes(spark, c)
    told["warnings"], told["release"], told["versions"] = first.warnings, first.release_id, versions(spark, c)
    told["pools"] = [json.loads(line) for line in tell.pools(c, "pools", ("u001",), 1, as_json=True).lines]
    told["explained"] = len(tell.explain(c, "u001", 5).more["because"])
    if asked.get("serve"):
        from trackpools.core import on_demand
        from trackpools.shell.serving import Opened

        opened = Opened.of(c)
        told["on demand"] = [
            one["recording"] for one in on_demand.pool(opened.release, opened.person("u001"))["candidates"]
        ]
    return told


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # whatever is printed on the way
    print(json.dumps(answers(json.load(sys.stdin)), default=str), file=out)
