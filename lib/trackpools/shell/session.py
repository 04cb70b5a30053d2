"""The Spark session: the active one as it is, the submitted one as it is, else a local one of our own."""

import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from trackpools.config_session import SessionConfig
from trackpools.errors import ConfigError
from trackpools.places import scratch
from trackpools.shell.jars import delta_jars, package_jars

OURS = "spark.trackpools.session"
LOG4J = Path(__file__).parent / "log4j2.properties"


def is_ours(spark: SparkSession) -> bool:
    """True for a session that `spark_session` built: only there may a conf be set."""
    return spark.conf.get(OURS, None) == "local"


def spark_session(config: SessionConfig) -> SparkSession:
    """A session to work in.

    (1) an active session is used as it is; (2) under spark-submit or Connect the submitted one, with no master and no
    conf of ours, because `builder.master` in code beats `--master`; (3) else a local one with Delta, also where
    `SPARK_REMOTE` asks for a Connect server of this machine (`local[2]`): nobody has started that one yet.

    Raises:
        ConfigError: where a local session is needed and Java or the jars are missing, or Connect's packages are.
    """
    remote = os.environ.get("SPARK_REMOTE", "")
    try:
        active = SparkSession.getActiveSession()
        if active is not None:
            return active
        if "PYSPARK_GATEWAY_PORT" in os.environ or (remote and not remote.startswith("local")):
            return SparkSession.builder.getOrCreate()
        return local_session(config, remote or None)
    except ImportError as error:
        raise ConfigError(
            f"Spark Connect needs packages that are not there ({error}); install them: pip install 'trackpools[connect]'"
        ) from error


def local_session(config: SessionConfig, remote: str | None = None) -> SparkSession:
    """A local Delta session in UTC with few partitions, retries and quiet logs.

    Args:
        remote: `local[2]` for one by a Connect server of its own.
    """
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise ConfigError(
            "Java is missing; install Java 17 or 21 (on Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
        )
    # before the session: else workers run whatever python3 is on PATH
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    own = scratch()
    own.mkdir(mode=0o700, exist_ok=True)
    # one compiler tier halves the driver's work on small data; long runs on large data want the second. Its code cache of 48 MB
    # is full after some minutes of planning, and what is swept out is compiled again (measured: a quarter of a test run's CPU)
    # A heap begins small, and planning fills a small young generation every half second
    young = min(512, int(config.memory[:-1]) * (1024 if config.memory.endswith("g") else 1) // 3)
    quick = f"-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:NewSize={young}m "
    jit = quick if config.quick_start else "-XX:+UseParallelGC "
    # Hadoop runs chmod, a process, some four times for each file that it writes to a local disk
    fork = "-Djdk.lang.Process.launchMechanism=VFORK " if sys.platform == "linux" else ""
    # -Xss: MLlib's ALS serialises a lineage that grows with every sweep, and frames of the first tier are large
    java = f"{jit}{fork}-Xss16m -Dderby.system.home={own} -Dlog4j2.configurationFile=file:{LOG4J}"
    options = {
        OURS: "local",
        "spark.jars": ",".join(map(str, [*delta_jars(), *package_jars(config.packages)])),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.memory": config.memory,
        "spark.driver.extraJavaOptions": java,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": str(2 * config.cores),
        "spark.sql.autoBroadcastJoinThreshold": "64m",
        "spark.buffer.pageSize": "4m",  # a broadcast of three rows takes a page, which by itself is 64 MB; a plan with twelve fills a small heap
        "spark.sql.warehouse.dir": str(own / "warehouse"),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(config.cores),
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.legacy.parameterSubstitution.constantsOnly": "true",
        "spark.python.daemon.module": "trackpools.shell.daemon",
        "spark.python.sql.dataFrameDebugging.enabled": "false",  # else every column expression would ask the JVM for a conf and walk Python's stack
    }
    builder = (
        SparkSession.builder.remote(remote)
        if remote
        else SparkSession.builder.master(f"local[{config.cores},3]").appName("trackpools")
    )
    for key, value in (_own(config, options) | options).items():
        builder = builder.config(key, value)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Failed to set spark"
        )  # the server has them; Connect sets them once more on its session
        return builder.getOrCreate()


def _own(config: SessionConfig, ours: Mapping[str, str]) -> dict[str, str]:
    """The confs of the configuration.

    Raises:
        ConfigError: for those that a session of ours must set itself.
    """
    if taken := sorted(set(config.conf) & set(ours)):
        raise ConfigError(
            "session.conf holds confs that trackpools sets itself; leave them out (heap: session.memory, jars: session.packages)",
            taken,
        )
    return dict(config.conf)
