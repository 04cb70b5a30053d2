"""Describe users and recordings: interactions → user_features, recording_features, track_cards.

This is `trackpools features` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("features")
