"""plays → user_ids, recording_ids: `trackpools ids` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("ids")
