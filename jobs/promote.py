"""Gates, then publish: `trackpools promote` under spark-submit or as a Databricks task; options as there. Exit 4: refused."""

from trackpools.cli import job

if __name__ == "__main__":
    job("promote")
