# Databricks notebook source
# MAGIC %md
# MAGIC # Train a challenger, measure it, promote it
# MAGIC The release in force is the champion. A challenger replaces it if the same listeners then heard more of what it offers, and nobody is left behind.
# MAGIC The champion must be as of a day at least `holdout.days` before the last play (notebook 01: the widget `as_of`).

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell import plots, plots_evaluation

dbutils.widgets.text("root", "", "Folder of the tables (empty: catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "local, cluster, databricks, or a YAML file")
dbutils.widgets.text("challenger", "train.alpha=10; train.iterations=15", "What the challenger does otherwise")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(dbutils.widgets.get("challenger"), root=root, catalog=catalog, schema=schema, overlay=overlay)
champion = next(release for release in api.releases(config) if release.channel == "prod")
print(f"champion: release {champion.seq}, as of {champion.as_of:%Y-%m-%d}; measured by what is heard in the {config.holdout.days} days after")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Train
# MAGIC As of the champion's moment, so that both know the same. Nothing is published; MLflow registers the model under the alias `challenger`.

# COMMAND ----------

seconds = api.challenge(config, as_of=champion.as_of.isoformat())
display(plots.stage_seconds(seconds))

# COMMAND ----------

losses = {run.run_id: run.metrics["train.final_loss"] for run in api.runs(config) if "train.final_loss" in run.metrics}
print("final loss, latest first:", [round(loss, 1) for loss in losses.values()])

# COMMAND ----------

# MAGIC %md
# MAGIC ## Measure, and promote if every gate holds
# MAGIC `found` must reach `needed`. The gain counts by the lower end of its interval: a challenger that may be equal is not promoted.

# COMMAND ----------

verdict = api.promote(config)
display(pd.DataFrame([vars(gate) for gate in verdict.gates], columns=["name", "found", "needed", "passed", "said"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## For whom?
# MAGIC The gain and its interval by slice of listeners; right of the line the challenger is better. A slice that loses much refuses the challenger.

# COMMAND ----------

gains = {one.slice: (one.value, one.low, one.high) for one in verdict.measures if one.metric.startswith("gain:") and one.users}
display(plots_evaluation.by_slice(gains, f"gain in {config.promote.metric}", 0.0))

# COMMAND ----------

print("promoted" if verdict.passed else f"refused: release {champion.seq} stays in force")
display(api.releases_table(config))
