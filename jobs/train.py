"""Train ALS factors: interactions → user_factors, recording_factors.

This is `trackpools train` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("train")
