"""What fills read, to Redis or Valkey: `trackpools export kv` under spark-submit or as a Databricks task; options as there."""

from trackpools.cli import job

if __name__ == "__main__":
    job("export")
