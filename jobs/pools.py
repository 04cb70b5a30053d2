"""Build the pool of every user: factors, features, cards → pools.

This is `trackpools pools` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("pools")
