"""factors, features, cards → index: `trackindex index` under spark-submit or as a Databricks task; options as there."""

from trackindex.cli import job

if __name__ == "__main__":
    job("index")
