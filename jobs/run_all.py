"""Every stage in order, then publish: `trackpools run` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("run")
