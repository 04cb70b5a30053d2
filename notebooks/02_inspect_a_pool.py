# Databricks notebook source
# MAGIC %md
# MAGIC # Inspect the pool of one user
# MAGIC This notebook shows the candidates of a pool, the sources that proposed them, and what the rules removed. It needs a release (notebook 01, or a
# MAGIC run) and changes nothing.

# COMMAND ----------

import pandas as pd

from trackpools import api
from trackpools.shell.reports import plots

dbutils.widgets.text("root", "", "Folder of the tables (empty: use catalog and schema)")
dbutils.widgets.text("catalog", "main", "Catalog")
dbutils.widgets.text("schema", "trackpools", "Schema")
dbutils.widgets.text("config", "", "Configuration: local, cluster, databricks, or a YAML file")
dbutils.widgets.text("user", "", "User id (empty: the first user)")

# COMMAND ----------

root, catalog, schema, overlay = (dbutils.widgets.get(name) for name in ("root", "catalog", "schema", "config"))
config = api.open_config(root=root, catalog=catalog, schema=schema, overlay=overlay)
user = dbutils.widgets.get("user") or api.read(config, "user_ids").orderBy("user_idx").first()["user_id"]
pool = api.one_pool(config, user)
print(f"{user}: {len(pool.candidates)} candidates, chosen from {pool.emitted} proposals; {pool.listener.get('plays', 0)} plays")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The candidates in their order
# MAGIC `sources` are those that proposed the candidate. `reason` is the strongest reason for it. `because` is what the user plays that led to it. Scores can
# MAGIC be compared within one pool only.

# COMMAND ----------

columns = ["rank", "title", "artists", "original_year", "score", "sources", "reason", "because", "plays", "last_day"]
display(pd.DataFrame(pool.candidates, columns=columns))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Is it varied?
# MAGIC Prompts ask for decades, tempos and kinds of music, and a pool should have enough tracks of each. So a fifth of its places (`pools.floor_share`) is
# MAGIC spent on such combinations (`pools.floor`).

# COMMAND ----------

display(plots.counts(pool.facets["decade"], "candidates by decade"))

# COMMAND ----------

display(plots.counts(pool.facets["kind"], "candidates by kind of music"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Which sources proposed the candidates?
# MAGIC A candidate can have several sources. Candidates that many sources agree on rank high.

# COMMAND ----------

named = pd.Series([source for one in pool.candidates for source in one["sources"]]).value_counts()
display(plots.counts(named.to_dict(), "number of candidates that each source proposed"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## What was removed, and why
# MAGIC Every proposed recording that is not in the pool is counted under the first rule that removed it. These recordings and the pool together are all
# MAGIC proposals.

# COMMAND ----------

display(plots.counts(pool.drops, "removed proposals, by rule"))
