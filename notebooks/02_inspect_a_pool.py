# Databricks notebook source
# MAGIC %md
# MAGIC # One pool, looked at closely
# MAGIC What a prompt may choose from, where it comes from, and what the rules kept out. Changes nothing; needs a release (notebook 01, or a run).

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "local, cluster, databricks, or a YAML file")
dbutils.widgets.text("user", "", "User id (empty: the first)")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(root=root, catalog=catalog, schema=schema, overlay=overlay)
user = dbutils.widgets.get("user") or api.read(config, "user_ids").orderBy("user_idx").first()["user_id"]
pool = api.one_pool(config, user)
print(f"{user}: {len(pool.candidates)} candidates of {pool.emitted} that were proposed; {pool.listener.get('plays', 0)} plays")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The order of choice
# MAGIC `sources` proposed it, `reason` is the strongest word for it, `because` is what the listener plays that brought it. Scores compare within this pool alone.

# COMMAND ----------

columns = ["rank", "title", "artists", "original_year", "score", "sources", "reason", "because", "plays", "last_day"]
display(pd.DataFrame(pool.candidates, columns=columns))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Is it varied?
# MAGIC A prompt asks for decades, tempi and kinds of music: what is not in the pool cannot be played. `pools.floor` spends a fifth of the places on such cells.

# COMMAND ----------

display(plots.counts(pool.facets["decade"], "candidates by decade"))

# COMMAND ----------

display(plots.counts(pool.facets["kind"], "candidates by kind of music"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Who proposed it?
# MAGIC A candidate may have several sources; what many agree on stands high.

# COMMAND ----------

named = pd.Series([source for one in pool.candidates for source in one["sources"]]).value_counts()
display(plots.counts(named.to_dict(), "candidates that a source proposed"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What is not there, and why
# MAGIC Every recording that was proposed and removed is counted under the first rule that removed it; with the pool they are all that was proposed.

# COMMAND ----------

display(plots.counts(pool.drops, "proposed and removed, by rule"))
