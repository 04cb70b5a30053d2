"""Code that keeps roots and imports of older versions usable; each part says when it may be deleted.

**Code hashes.** Up to commit d3b650f, the code hash was one hash of all source bytes of the package, and
roots of that time have this hash in the metadata of their commits. `SAME_AS_D3B650F` lists the stages that
still compute what they computed then. A run keeps the rows that these stages wrote, `plays_daily` and
`interactions`, on which a refresh builds. All other stages run again once.

`SAME_AS_D3B650F` holds the present code hash of each of these stages. `tests/test_compat.py` fails if the code
of such a stage has changed; until the hash here is changed too, a run computes the stage again. If the stage
still computes the same, for instance after a renaming, write its new hash here. If it does not, delete its
line.

Delete this part in the version after the next, or as soon as `SAME_AS_D3B650F` is empty.

**Moved modules.** `MODULES` and `NAMES` keep old import paths of trackpools 0.1 working: those that are
documented, that notebooks or running Spark configurations name (`spark.python.daemon.module`), or that
registered models need. Each use of an old path warns. Delete this part in 0.3.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import warnings
from collections.abc import Sequence
from functools import partial
from types import CodeType, ModuleType
from typing import Any

D3B650F = "291c8af7f5d9fe20"  # code hash of commit d3b650f
SAME_AS_D3B650F = {  # stage → its present code hash
    "daily": "0cbb4e36ff43f451",
    "interactions": "304881824fa31df3",
}


def former_codes(code: str) -> tuple[str, ...]:
    """Return hashes that older versions gave to code that computes the same as the code of this hash."""
    return (D3B650F,) if code in SAME_AS_D3B650F.values() else ()


MODULES = {
    "trackpools.core.drift": "trackpools.core.evaluation.drift",
    "trackpools.core.on_demand": "trackpools.core.pools.online",
    "trackpools.core.sources.inputs": "trackpools.core.sources.source_inputs",
    "trackpools.core.sources.listeners": "trackpools.core.sources.user_block",
    "trackpools.core.sources.ranking": "trackpools.core.sources.ranked_lists",
    "trackpools.core.topk": "trackpools.core.topk.exact",
    "trackpools.datasets.catalogue": "trackpools.datasets.catalogue_columns",
    "trackpools.datasets.files": "trackpools.datasets.file_reading",
    "trackpools.shell.daemon": "trackpools.shell.spark.worker_daemon",
    "trackpools.shell.jars": "trackpools.shell.spark.jars",
    "trackpools.shell.plots": "trackpools.shell.reports.plots",
    "trackpools.shell.plots_evaluation": "trackpools.shell.reports.evaluation_plots",
    "trackpools.shell.reference": "trackpools.shell.docs.docs_pages",
    "trackpools.shell.serving": "trackpools.shell.serving.loaded_release",
    "trackpools.tasks": "trackpools.cli.entry_points",
}
# (old module, old name) → the new name, if the name changed too
NAMES: dict[tuple[str, str], str] = {
    ("trackpools.core.drift", "DRIFTED"): "DRIFT_PSI",
    ("trackpools.core.drift", "WATCH"): "WATCH_PSI",
    ("trackpools.core.sources.listeners", "Listeners"): "UserBlock",
    ("trackpools.core.sources.listeners", "summed"): "sum_by_key",
    ("trackpools.core.sources.ranking", "ranked"): "rank_by_key",
    ("trackpools.core.topk", "leading"): "top_k_rows",
    ("trackpools.datasets.catalogue", "one"): "array_of_one",
    ("trackpools.shell.serving", "Opened"): "LoadedRelease",
}


def moved(module: str, name: str) -> Any:
    """Return the object that trackpools 0.1 had as `module.name`, and warn with its new path.

    Raises:
        AttributeError: if the name begins with two underscores, or the new module has no such name.
    """
    target, new_name = MODULES[module], NAMES.get((module, name), name)
    if name.startswith("__"):
        raise AttributeError(name)
    value = getattr(importlib.import_module(target), new_name, None)
    if value is None:
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}; it is {target!r} since trackpools 0.2"
        )
    warnings.warn(
        f"{module}.{name} is {target}.{new_name} since trackpools 0.2", DeprecationWarning, stacklevel=2
    )
    return value


class MovedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import the modules of `MODULES` under their old names; Python asks this finder after all others."""

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in MODULES else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        vars(module)["__getattr__"] = partial(moved, spec.name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing, because `moved` looks up each name in the new module when it is used."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the new module; Spark starts its worker daemon with `python -m NAME`."""
        spec = importlib.util.find_spec(MODULES[fullname])
        loader = spec.loader if spec else None
        return loader.get_code(MODULES[fullname]) if isinstance(loader, importlib.abc.InspectLoader) else None
