"""Import a listening log into plays, tracks, users and signals.

This is `trackpools import` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("import")
