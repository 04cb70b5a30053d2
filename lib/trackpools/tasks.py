"""Entry points of wheel tasks: each is the command of its name, takes its options from `sys.argv`, and returns or raises what failed.

No SystemExit, not even of 0: Databricks calls the function in its own interpreter and takes any of them for a failure. `databricks.yml` names them.
"""

from functools import partial

from trackpools.cli import task

import_log = partial(task, "import")
ids = partial(task, "ids")
interactions = partial(task, "interactions")
features = partial(task, "features")
train = partial(task, "train")
pools = partial(task, "pools")
publish = partial(task, "publish")
run = partial(task, "run")
refresh = partial(task, "refresh")
watch = partial(task, "watch")
evaluate = partial(task, "evaluate")
tune = partial(task, "tune")
promote = partial(task, "promote")
export = partial(task, "export")
