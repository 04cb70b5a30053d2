"""Where this process runs, according to the environment variables of Databricks and Spark.

No other module reads these variables.
"""

import os


def on_databricks() -> bool:
    """Return whether the process runs in a Databricks runtime."""
    return bool(os.environ.get("DATABRICKS_RUNTIME_VERSION"))


def is_submitted() -> bool:
    """Return whether spark-submit started the process, and with it the JVM of its session."""
    return bool(os.environ.get("PYSPARK_GATEWAY_PORT"))


def connect_address() -> str | None:
    """Return the address of the Spark Connect server to use, or None if Connect is not used.

    Examples are `sc://host`, and `local[2]`, for which trackpools starts a server on this machine.
    """
    return os.environ.get("SPARK_REMOTE") or None


def is_connect() -> bool:
    """Return whether a Spark Connect server that is already running is to be used."""
    address = connect_address()
    return address is not None and not address.startswith("local")
