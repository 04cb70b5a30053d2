# Databricks notebook source
# MAGIC %md
# MAGIC # Two runs and two releases, compared
# MAGIC What was set otherwise (MLflow), what it cost, and what listeners get otherwise. Compares the two latest releases; or publishes one more first.

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.core.drift import DRIFTED, WATCH
from trackpools.shell import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "local, cluster, databricks, or a YAML file")
dbutils.widgets.dropdown("publish", "no", ["no", "yes"], "Publish one more first, as of the same moment")
dbutils.widgets.text("change", "pools.mmr=0.3", "Set otherwise in it")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
place = {"root": root, "catalog": catalog, "schema": schema, "overlay": overlay}
config = api.open_config(**place)
if dbutils.widgets.get("publish") == "yes":
    api.run(api.open_config(dbutils.widgets.get("change"), **place), as_of=api.releases(config)[0].as_of.isoformat())
new, old = api.releases(config)[:2]

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was set otherwise
# MAGIC Every run logs its whole configuration, and each stage what it took. A stage that was skipped took nothing.

# COMMAND ----------

runs = {run.release_id: run for run in api.runs(config)}
before, after = runs[old.release_id], runs[new.release_id]
keys = [key for key in after.params if after.params[key] != before.params.get(key)]
display(pd.DataFrame({"key": keys, "before": [before.params.get(key) for key in keys], "after": [after.params[key] for key in keys]}))

# COMMAND ----------

seconds = {key.removesuffix(".seconds"): value for key, value in after.metrics.items() if key.endswith(".seconds")}
display(plots.stage_seconds(seconds))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What listeners get otherwise
# MAGIC How much of a pool stays, and which sources it is made of.

# COMMAND ----------

print(f"{api.overlap(config, old, new):.0%} of a pool of release {old.seq} is in release {new.seq} too")
shares = {f"release {one.seq}": api.source_shares(config, one) for one in (old, new)}
display(plots.heat(shares, "share of candidates that a source proposed"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Has the world changed?
# MAGIC Bars that stay below the tick are what chance alone moves. Same log, other settings: only scores may move.

# COMMAND ----------

drift = api.drift(config, old, new)
display(plots.drift(drift.psi, drift.chance, WATCH, DRIFTED, "population stability index"))
