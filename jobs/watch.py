"""Check the log and the release in force against thresholds; exit 3 if a check fails.

This is `trackpools watch` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("watch")
