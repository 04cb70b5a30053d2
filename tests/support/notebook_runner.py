"""Run a notebook in Databricks source format: its cells in order, with stand-ins for Databricks."""

import linecache
from pathlib import Path

SEPARATOR = "# COMMAND ----------"


class Widgets:
    """Stand in for `dbutils.widgets`: text and dropdown, with defaults that a job's values override."""

    def __init__(self, given):
        self.given = dict(given)
        self.values = {}

    def text(self, name, defaultValue, label=""):
        self.values[name] = str(self.given.get(name, defaultValue))

    def dropdown(self, name, defaultValue, choices, label=""):
        self.text(name, defaultValue, label)
        assert self.values[name] in choices, f"{name}={self.values[name]!r} is none of {choices}"

    def get(self, name):
        return self.values[name]

    def getArgument(self, name, defaultValue=None):
        return self.values.get(name, defaultValue)


class DBUtils:
    def __init__(self, given):
        self.widgets = Widgets(given)


def cells(path):
    """Return the texts of the cells, each padded so that its line numbers are those of the file."""
    found, before = [], 0
    for text in Path(path).read_text(encoding="utf-8").split(SEPARATOR):
        found.append("\n" * before + text)
        before += text.count("\n")
    return found


def run_notebook(path, spark, /, **widgets):
    """Run every cell; return what was displayed.

    Only %md magics are known: another one would do something on Databricks that this runner does not do.
    """
    unknown = [
        line
        for line in Path(path).read_text(encoding="utf-8").splitlines()
        if line.startswith("# MAGIC %") and not line.startswith("# MAGIC %md")
    ]
    assert not unknown, f"magics the runner does not know: {unknown}"
    dbutils, shown = DBUtils(widgets), []
    names = {
        "spark": spark,
        "dbutils": dbutils,
        "display": shown.append,
        "getArgument": dbutils.widgets.getArgument,
    }
    linecache.checkcache(str(path))
    for cell in cells(path):
        exec(compile(cell, str(path), "exec"), names)
    strange = set(dbutils.widgets.given) - set(dbutils.widgets.values)
    assert not strange, f"the notebook has no widgets {strange}"
    return shown
