# Databricks notebook source
# MAGIC %md
# MAGIC # From a listening log to published pools
# MAGIC This notebook generates the log of a synthetic music service (or uses the log that you imported). It runs every stage of the flow, publishes a
# MAGIC release, and shows what is in it.
# MAGIC The cluster needs the `trackpools` wheel. Tables are written to `catalog.schema`, or to a folder if `root` is set.

# COMMAND ----------

from trackpools import api
from trackpools.shell.reports import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: use catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "Configuration: local, cluster, databricks, or a YAML file")
dbutils.widgets.dropdown("log", "synthetic", ["synthetic", "what is there"], "Log")
dbutils.widgets.text("users", "1000", "Synthetic users")
dbutils.widgets.text("tracks", "3000", "Synthetic tracks")
dbutils.widgets.text("days", "120", "Synthetic days")
dbutils.widgets.text("k", "500", "Candidates for each user")
dbutils.widgets.dropdown("engine", "mllib", ["mllib", "implicit"], "ALS engine")
dbutils.widgets.text("as_of", "", "Use only plays before this day (empty: all plays)")

# COMMAND ----------

settings = {"train.engine": dbutils.widgets.get("engine"), "train.blocks": 8, "pools.k": int(dbutils.widgets.get("k"))}
settings |= {f"synthetic.{key}": int(dbutils.widgets.get(key)) for key in ("users", "tracks", "days")}
root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(settings, root=root, catalog=catalog, schema=schema, overlay=overlay)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The log and the flow
# MAGIC To import the same rows twice changes nothing, and a stage whose inputs did not change is skipped. So you can run this notebook as often as you like.

# COMMAND ----------

imported = api.import_log(config) if dbutils.widgets.get("log") == "synthetic" else {}
release = api.run(config, as_of=dbutils.widgets.get("as_of") or None)
print(imported, release.release_id, sep="\n")

# COMMAND ----------

display(api.releases_table(config))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The pool of one user
# MAGIC The table lists the candidates that a playlist can be filled from, best first. It shows which sources proposed each candidate, and why.

# COMMAND ----------

listener = api.read(config, "user_ids", release).orderBy("user_idx").first()["user_id"]
display(api.pools_long(config, release, [listener]).orderBy("rank"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The release in three plots
# MAGIC The first plot shows how many of the plays belong to a few recordings. The second shows how many pools are full. The third shows the sources of the
# MAGIC candidates at each rank.

# COMMAND ----------

data = api.report_data(config, release)
display(plots.long_tail(data.long_tail))

# COMMAND ----------

display(plots.pool_fill(data.pool_sizes, data.k))

# COMMAND ----------

display(plots.source_mix(data.source_mix))
