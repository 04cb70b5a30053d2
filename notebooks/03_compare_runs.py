# Databricks notebook source
# MAGIC %md
# MAGIC # Compare two runs and their releases
# MAGIC This notebook compares the two latest releases: which settings differ (from MLflow), how long the stages took, and how the pools differ. With
# MAGIC `publish` it first publishes one more release.

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.core.evaluation.drift import DRIFT_PSI, WATCH_PSI
from trackpools.shell.reports import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: use catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "Configuration: local, cluster, databricks, or a YAML file")
dbutils.widgets.dropdown("publish", "no", ["no", "yes"], "First publish one more release, as of the same moment")
dbutils.widgets.text("change", "pools.mmr=0.3", "Settings that differ in it")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
place = {"root": root, "catalog": catalog, "schema": schema, "overlay": overlay}
config = api.open_config(**place)
if dbutils.widgets.get("publish") == "yes":
    api.run(api.open_config(dbutils.widgets.get("change"), **place), as_of=api.releases(config)[0].as_of.isoformat())
new, old = api.releases(config)[:2]

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which settings differ?
# MAGIC Every run logs its whole configuration and the seconds of each stage. A skipped stage has no seconds.

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
# MAGIC ## How do the pools differ?
# MAGIC The first line says how much of a pool stays the same. The plot shows the share of each source in both releases.

# COMMAND ----------

print(f"{api.overlap(config, old, new):.0%} of a pool of release {old.seq} is also in release {new.seq}")
shares = {f"release {one.seq}": api.source_shares(config, one) for one in (old, new)}
display(plots.heat(shares, "share of candidates that each source proposed"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Did the data change?
# MAGIC A bar below its tick can be due to chance alone. If only settings differ and the log is the same, only scores can change.

# COMMAND ----------

drift = api.drift(config, old, new)
display(plots.drift(drift.psi, drift.chance, WATCH_PSI, DRIFT_PSI, "population stability index"))
