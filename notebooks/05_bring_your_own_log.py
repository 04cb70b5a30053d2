# Databricks notebook source
# MAGIC %md
# MAGIC # Import your own log
# MAGIC This notebook imports a file with your column names (Parquet, CSV, JSON or Delta), builds pools from it, and shows the pool of one of your users.

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell.reports import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: use catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "Configuration: local, cluster, databricks, or a YAML file")
dbutils.widgets.text("path", "/Volumes/main/trackpools/files/plays.parquet", "File or folder of the log")
dbutils.widgets.text("user_id", "user_id", "Your column of the user")
dbutils.widgets.text("track_id", "track_id", "Your column of the track")
dbutils.widgets.text("played_at", "played_at", "Your column of the time")
dbutils.widgets.text("more", "", "More columns, such as title=YOURS, artist=YOURS, ms_played=YOURS")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
columns = {name: dbutils.widgets.get(name) for name in ("user_id", "track_id", "played_at")}
columns |= dict(pair.strip().split("=", 1) for pair in dbutils.widgets.get("more").split(",") if "=" in pair)
config = api.open_config({"ingest.columns": columns}, root=root, catalog=catalog, schema=schema, overlay=overlay)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Import
# MAGIC Invalid rows are refused and kept in `plays_rejected` with every reason. If their share is above `ingest.max_rejected_fraction`, nothing is imported. To
# MAGIC import the same file twice changes nothing. Times without a zone are UTC.

# COMMAND ----------

counts = api.import_log(config, "events", dbutils.widgets.get("path"))
rows = {name: counts[name] for name in ("accepted", "rejected", "duplicates")}
display(plots.counts(rows, f"of {counts['read']:,} rows read"))

# COMMAND ----------

display(pd.DataFrame(sorted(counts["reasons"].items()), columns=["reason of refusal", "rows"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## From plays to pools
# MAGIC The next cell runs every stage and publishes the result in one commit. When you have a new file, import it and run again: only what changed is
# MAGIC computed.

# COMMAND ----------

release = api.run(config)
display(api.releases_table(config))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The pool of one of your users
# MAGIC This is the pool of the user with most plays. If the log has no titles or artists, the table shows track ids only. Rights, markets and tags come from
# MAGIC the tables `tracks` and `users`.

# COMMAND ----------

listener = api.open_store(config).read("plays").groupBy("user_id").count().orderBy("count", ascending=False).first()["user_id"]
pool = api.pools_long(config, release, [listener]).orderBy("rank")
display(pool)

# COMMAND ----------

named = pd.Series([source for row in pool.select("sources").collect() for source in row["sources"]]).value_counts()
display(plots.counts(named.to_dict(), f"candidates of {listener}, by the source that proposed them"))
