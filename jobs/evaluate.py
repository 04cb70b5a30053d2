"""Engines and pools on one cut of the log: `trackpools evaluate` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("evaluate")
