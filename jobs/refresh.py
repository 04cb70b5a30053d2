"""The listeners concerned alone: `trackpools refresh` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("refresh")
