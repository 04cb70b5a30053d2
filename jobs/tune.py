"""Search for better settings of the model and the sources.

This is `trackpools tune` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("tune")
