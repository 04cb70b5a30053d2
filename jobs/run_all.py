"""Run every stage in order, and publish a release.

This is `trackpools run` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("run")
