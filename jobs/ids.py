"""Number new users and recordings: plays → user_ids, recording_ids.

This is `trackpools ids` for spark-submit or a Databricks task, with the same options.
"""

from trackpools.cli import job

if __name__ == "__main__":
    job("ids")
