# Databricks notebook source
# MAGIC %md
# MAGIC # Train a challenger, measure it, promote it
# MAGIC The release in force is the champion. A challenger replaces it if the same users then heard more of what the challenger offers, and no slice of the
# MAGIC users loses much.
# MAGIC The champion must be as of a day at least `holdout.days` before the last play (see the widget `as_of` of notebook 01).

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell.reports import evaluation_plots, plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: use catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "Configuration: local, cluster, databricks, or a YAML file")
dbutils.widgets.text("challenger", "train.alpha=10; train.iterations=15", "Settings of the challenger that differ")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(dbutils.widgets.get("challenger"), root=root, catalog=catalog, schema=schema, overlay=overlay)
champion = next(release for release in api.releases(config) if release.channel == "prod")
print(f"champion: release {champion.seq}, as of {champion.as_of:%Y-%m-%d}; measured by what is heard in the {config.holdout.days} days after")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Train
# MAGIC The challenger is trained as of the same moment as the champion, so that both use the same plays. Nothing is published. MLflow registers the model
# MAGIC under the alias `challenger`.

# COMMAND ----------

seconds = api.challenge(config, as_of=champion.as_of.isoformat())
display(plots.stage_seconds(seconds))

# COMMAND ----------

losses = {run.run_id: run.metrics["train.final_loss"] for run in api.runs(config) if "train.final_loss" in run.metrics}
print("final loss, latest first:", [round(loss, 1) for loss in losses.values()])

# COMMAND ----------

# MAGIC %md
# MAGIC ## Measure, and promote if every gate passes
# MAGIC `found` is compared with `needed`, and `passed` is the result. For the gain, `found` is the lower end of its interval, so a challenger that may be
# MAGIC only equal is not promoted.

# COMMAND ----------

verdict = api.promote(config)
display(pd.DataFrame([vars(gate) for gate in verdict.gates], columns=["name", "found", "needed", "passed", "said"]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which users gain?
# MAGIC The plot shows the gain and its interval for each slice of users. Right of the line the challenger is better. If a slice loses much, the challenger is
# MAGIC refused.

# COMMAND ----------

gains = {one.slice: (one.value, one.low, one.high) for one in verdict.measures if one.metric.startswith("gain:") and one.users}
display(evaluation_plots.by_slice(gains, f"gain in {config.promote.metric}", 0.0))

# COMMAND ----------

print("promoted" if verdict.passed else f"refused: release {champion.seq} stays in force")
display(api.releases_table(config))
