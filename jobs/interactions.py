"""Count plays and sum them up: plays → plays_daily → interactions.

This is `trackpools interactions` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("interactions")
