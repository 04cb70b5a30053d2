"""Entry points of Databricks wheel tasks: one function for each command that a job may run.

Each function reads its options from `sys.argv`. It returns if the command succeeds and raises the failure
otherwise. It never raises SystemExit, not even with code 0: Databricks calls the function in its own
interpreter and treats every SystemExit as a failure. `pyproject.toml` registers each function under
a name such as `trackpools-train`. The jobs in `conf/bundle` use these names.
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
