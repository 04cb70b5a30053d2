# Databricks notebook source
# MAGIC %md
# MAGIC # From a listening log to published pools
# MAGIC A synthetic music service (or the log that you imported), every stage of the flow, a release, and a look at what is in it.
# MAGIC The cluster needs the `trackpools` wheel; tables go to `catalog.schema`, or to a folder where `root` is given.

# COMMAND ----------

from trackpools import api
from trackpools.shell import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "local, cluster, databricks, or a YAML file")
dbutils.widgets.dropdown("log", "synthetic", ["synthetic", "what is there"], "Log")
dbutils.widgets.text("users", "1000", "Synthetic listeners")
dbutils.widgets.text("tracks", "3000", "Synthetic tracks")
dbutils.widgets.text("days", "120", "Synthetic days")
dbutils.widgets.text("k", "500", "Candidates a user")
dbutils.widgets.dropdown("engine", "mllib", ["mllib", "implicit"], "ALS engine")
dbutils.widgets.text("as_of", "", "Only plays before this day (empty: all)")

# COMMAND ----------

settings = {"train.engine": dbutils.widgets.get("engine"), "train.blocks": 8, "pools.k": int(dbutils.widgets.get("k"))}
settings |= {f"synthetic.{key}": int(dbutils.widgets.get(key)) for key in ("users", "tracks", "days")}
root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(settings, root=root, catalog=catalog, schema=schema, overlay=overlay)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The log and the flow
# MAGIC The same rows twice change nothing, and a stage whose inputs are unchanged is skipped: run this notebook as often as you like.

# COMMAND ----------

imported = api.import_log(config) if dbutils.widgets.get("log") == "synthetic" else {}
release = api.run(config, as_of=dbutils.widgets.get("as_of") or None)
print(imported, release.release_id, sep="\n")

# COMMAND ----------

display(api.releases_table(config))

# COMMAND ----------

# MAGIC %md
# MAGIC ## One listener's pool
# MAGIC What a prompt may choose from, best first: where each candidate came from and why it is here.

# COMMAND ----------

listener = api.read(config, "user_ids", release).orderBy("user_idx").first()["user_id"]
display(api.pools_long(config, release, [listener]).orderBy("rank"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## The release in three plots
# MAGIC How few recordings hold the plays; how many pools are full; where the candidates of each rank come from.

# COMMAND ----------

data = api.report_data(config, release)
display(plots.long_tail(data.long_tail))

# COMMAND ----------

display(plots.pool_fill(data.pool_sizes, data.k))

# COMMAND ----------

display(plots.source_mix(data.source_mix))
