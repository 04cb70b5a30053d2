"""Publish the pools in the store as one release.

This is `trackpools publish` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("publish")
