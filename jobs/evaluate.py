"""Measure pools and engines on a cut of the log, or an engine on a published split.

This is `trackpools evaluate` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("evaluate")
