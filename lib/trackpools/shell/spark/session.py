"""Get the Spark session: the active or submitted one unchanged, else a new local one with Delta."""

import os
import shutil
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import SparkSession

from trackpools.config.operations import SessionConfig
from trackpools.errors import ConfigError
from trackpools.paths import make_private, scratch
from trackpools.shell.spark import runtime
from trackpools.shell.spark.jars import delta_jars, package_jars
from trackpools.shell.spark.jvm_stderr import without_incubator_notice

OURS = "spark.trackpools.session"
LOG4J = Path(__file__).parent / "log4j2.properties"


def is_ours(spark: SparkSession) -> bool:
    """Return whether `spark_session` built this session; only in such a session may a conf be set."""
    return spark.conf.get(OURS, None) == "local"


def spark_session(config: SessionConfig) -> SparkSession:
    """Return a session to work in.

    1. An active session is used as it is.
    2. Under spark-submit or Connect, the submitted session is used. No master and no conf are set, because
       `builder.master` in code would override `--master`.
    3. Otherwise a local session with Delta is built. This also holds if `SPARK_REMOTE` asks for a Connect
       server on this machine (`local[2]`), because that server is not running yet.

    Args:
        config: the `session` section; it is used only for a local session.

    Raises:
        ConfigError: if a local session is needed and Java or the jars are missing, or if the packages that
            Spark Connect needs are missing.
    """
    try:
        active = SparkSession.getActiveSession()
        if active is not None:
            return active
        if runtime.is_submitted() or runtime.is_connect():
            return SparkSession.builder.getOrCreate()
        return local_session(config, runtime.connect_address())
    except ImportError as error:
        raise ConfigError(
            f"Spark Connect needs packages that are not installed ({error}); type: pip install 'trackpools[connect]'"
        ) from error


def local_session(config: SessionConfig, remote: str | None = None) -> SparkSession:
    """Build a local Delta session in UTC, with few partitions, task retries and quiet logs.

    Args:
        config: the `session` section.
        remote: an address such as `local[2]`, for a session through a Connect server of its own; None for a
            classic session.

    Raises:
        ConfigError: if Java or a jar is missing, if the scratch folder belongs to another account, or if the
            configuration sets a conf that trackpools sets itself.
    """
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        raise ConfigError(
            "Java is missing; install Java 17 or 21 (on Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME"
        )
    # Set these before the session starts; otherwise workers run whatever python3 is on PATH.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    try:
        own = make_private(scratch())
    except OSError as error:
        raise ConfigError(
            f"the scratch folder cannot be used ({error}); set TMPDIR to a folder of your own"
        ) from error
    # A single compiler tier halves the driver's work on small data; long runs on large data need the second.
    # The single tier's default code cache of 48 MB is full after some minutes of planning, and code that is
    # evicted is compiled again (measured: a quarter of a test run's CPU).
    # NewSize: a heap begins small, and planning fills a small young generation every half second.
    young = min(512, int(config.memory[:-1]) * (1024 if config.memory.endswith("g") else 1) // 3)
    quick = f"-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC -XX:NewSize={young}m "
    jit = quick if config.quick_start else "-XX:+UseParallelGC "
    # Hadoop starts a chmod process some four times for each file that it writes to a local disk.
    fork = "-Djdk.lang.Process.launchMechanism=VFORK " if sys.platform == "linux" else ""
    # -Xss: MLlib's ALS serialises a lineage that grows with every sweep, and stack frames of code from the
    # first compiler tier are large.
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
        "spark.buffer.pageSize": "4m",  # a broadcast of three rows uses a page, by default 64 MB; twelve of them fill a small heap
        "spark.sql.warehouse.dir": str(own / "warehouse"),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(config.cores),
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.legacy.parameterSubstitution.constantsOnly": "true",
        "spark.python.daemon.module": "trackpools.shell.spark.worker_daemon",
        "spark.python.sql.dataFrameDebugging.enabled": "false",  # else every column expression reads a conf from the JVM and walks Python's stack
    }
    builder = (
        SparkSession.builder.remote(remote)
        if remote
        else SparkSession.builder.master(f"local[{config.cores},3]").appName("trackpools")
    )
    for key, value in (_user_confs(config, options) | options).items():
        builder = builder.config(key, value)
    with without_incubator_notice(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Failed to set spark"
        )  # Connect sets the confs again on its session, although the server has them already
        return builder.getOrCreate()


def _user_confs(config: SessionConfig, ours: Mapping[str, str]) -> dict[str, str]:
    """Return the confs that the configuration sets (`session.conf`).

    Args:
        config: the `session` section.
        ours: the confs that trackpools sets itself; the configuration must not set any of them.

    Raises:
        ConfigError: if the configuration holds one of `ours`.
    """
    if taken := sorted(set(config.conf) & set(ours)):
        raise ConfigError(
            "session.conf has settings that trackpools sets itself; remove them (for the heap use session.memory, for jars session.packages)",
            taken,
        )
    return dict(config.conf)
