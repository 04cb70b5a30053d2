# Databricks notebook source
# MAGIC %md
# MAGIC # Your own log
# MAGIC From a Parquet (CSV, JSON, Delta) file with your column names to a pool of one of your listeners.

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "local, cluster, databricks, or a YAML file")
dbutils.widgets.text("path", "/Volumes/main/trackpools/files/plays.parquet", "File or folder of the log")
dbutils.widgets.text("user_id", "user_id", "Your column of the listener")
dbutils.widgets.text("track_id", "track_id", "Your column of the track")
dbutils.widgets.text("played_at", "played_at", "Your column of the time")
dbutils.widgets.text("more", "", "More columns, as title=YOURS, artist=YOURS, ms_played=YOURS")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
columns = {name: dbutils.widgets.get(name) for name in ("user_id", "track_id", "played_at")}
columns |= dict(pair.strip().split("=", 1) for pair in dbutils.widgets.get("more").split(",") if "=" in pair)
config = api.open_config({"ingest.columns": columns}, root=root, catalog=catalog, schema=schema, overlay=overlay)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Import
# MAGIC Rows that cannot be meant are refused with every reason and kept in `plays_rejected`; above `ingest.max_rejected_fraction` nothing enters. The same file twice
# MAGIC changes nothing. Times without a zone are UTC.

# COMMAND ----------

counts = api.import_log(config, "events", dbutils.widgets.get("path"))
rows = {name: counts[name] for name in ("accepted", "rejected", "duplicates")}
display(plots.counts(rows, f"of {counts['read']:,} rows read"))

# COMMAND ----------

display(pd.DataFrame(sorted(counts["reasons"].items()), columns=["refused because", "rows"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## From plays to pools
# MAGIC Every stage, then one commit. Tomorrow import the next file and run again: only what changed is computed.

# COMMAND ----------

release = api.run(config)
display(api.releases_table(config))

# COMMAND ----------

# MAGIC %md
# MAGIC ## A pool of one of yours
# MAGIC Of whoever plays most. Where the log tells no title or artist, the track id is all there is; rights, markets and tags come by the tables `tracks` and `users`.

# COMMAND ----------

listener = api.open_store(config).read("plays").groupBy("user_id").count().orderBy("count", ascending=False).first()["user_id"]
pool = api.pools_long(config, release, [listener]).orderBy("rank")
display(pool)

# COMMAND ----------

named = pd.Series([source for row in pool.select("sources").collect() for source in row["sources"]]).value_counts()
display(plots.counts(named.to_dict(), f"of {listener}'s candidates, by who proposed them"))
