"""A listening log → plays, tracks, users, signals: `trackpools import` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("import")
