"""Publish the pools in the store if they pass all gates; exit 4 if they do not.

This is `trackpools promote` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("promote")
