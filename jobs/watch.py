"""Is everything as it usually is: `trackpools watch` under spark-submit or as a Databricks task; options as there. Exit 3: look."""

from trackpools.cli import job

if __name__ == "__main__":
    job("watch")
