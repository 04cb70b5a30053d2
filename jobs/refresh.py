"""Rebuild the pools of the users whose data changed, and publish them.

This is `trackpools refresh` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("refresh")
