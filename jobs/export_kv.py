"""Export what fills read of the release in force to Redis or Valkey.

This is `trackpools export kv` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("export")
