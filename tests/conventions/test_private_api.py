"""Tests that private names of other packages are used only where a reason is listed. Starts no Spark."""

import ast

from source_trees import SOURCES

# file → private name → why there is no public way (and the version it was checked with)
ALLOWED = {
    "core/arrays/kernel_cache.py": {
        "_CacheLocator": "numba 0.68: a locator must derive from it; the setting that names locators is public"
    },
    "shell/fills/traces.py": {
        "_upload_trace_data": "mlflow 3.17: servers that keep traces as artefacts take the data of a finished trace only so"
    },
    "shell/spark/context.py": {
        "_jsc": "pyspark 4.2: the status store, which counts the run time of executors, has no Python side",
        "_jvm": "pyspark 4.2: the status store is asked by a class of the JVM",
    },
    "shell/tracking/mlflow_globals.py": {
        "_active_experiment_id": "mlflow 3.17: set_experiment asks the server; this state must be put back as it was",
        "_use_tracking_uri": "mlflow 3.17: it restores whether the server came from the environment; the public setter does not",
    },
    "shell/tracking/outbox_sender.py": {
        "_to_mlflow_entity": "mlflow 3.17: an input's dataset is built only there"
    },
}
OWN = {"_replace", "_asdict", "_fields", "_make", "_field_defaults"}  # public methods of NamedTuple


def defined_here(tree):
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    stored = [
        node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    targets = [
        node for node in stored if isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
    ]
    fields = [
        node.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    return names | {node.attr for node in targets} | set(fields)


def private_names(tree):
    """Yield private attributes and imported names of a module that it does not define itself."""
    mine = defined_here(tree) | OWN
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in mine
        ):
            yield node.attr
        if isinstance(node, ast.ImportFrom):
            yield from (
                alias.name
                for alias in node.names
                if alias.name.startswith("_") and not alias.name.startswith("__")
            )


def test_private_names_of_others_are_listed_with_their_reason():
    used = {(file, name) for file, tree in SOURCES.items() for name in private_names(tree)}
    assert used == {(file, name) for file, names in ALLOWED.items() for name in names}
