"""Find what is wrong with the Databricks bundle of a folder, and say it in sentences.

Faults are references that lead nowhere, and fields that the Jobs and Unity Catalog APIs do not have. These
fields are read from the types of databricks-sdk (MLflow installs it), because no package holds the CLI's
own JSON schema. The keys of the bundle around them are listed here.
"""

import dataclasses
import enum
import importlib
import inspect
import re
import tomllib
import typing

import typer
import yaml
from databricks.sdk.service import catalog, jobs

from trackpools.cli import whole
from trackpools.config.loading import load_config

TOP = {
    "bundle",
    "include",
    "artifacts",
    "sync",
    "variables",
    "targets",
    "workspace",
    "resources",
    "permissions",
    "run_as",
    "presets",
}
TARGET = (TOP - {"include", "targets"}) | {"mode", "default"}
KINDS = {
    "jobs": jobs.JobSettings,
    "schemas": catalog.SchemasAPI.create,
    "volumes": catalog.VolumesAPI.create,
    "registered_models": catalog.RegisteredModelsAPI.create,
}
EXTRA = {
    "permissions": "list[dict[str, str]]",
    "grants": "list[catalog.PrivilegeAssignment]",
    "lifecycle": "dict[str, bool]",
}
GIVEN = {
    "workspace.current_user.short_name": "me",
    "workspace.root_path": "/Workspace/x",
    "workspace.file_path": "/Workspace/x/files",
}
REFERENCE = re.compile(r"\$\{([^}]*)\}")
DYNAMIC = {"job.start_time.iso_date": "2026-01-31"}


def faults(root):
    """Return every fault of every target as sorted sentences."""
    top = _yaml(root / "databricks.yml")
    found = [f"databricks.yml: unknown key {key}" for key in sorted(set(top) - TOP)]
    kinds: dict = {}
    for pattern in top.get("include", []):
        files = sorted(root.glob(pattern))
        found += [] if files else [f"include {pattern} names no file"]
        for file in files:
            for kind, ones in _yaml(file).get("resources", {}).items():
                kinds.setdefault(kind, {}).update(ones)
    targets = top.get("targets", {})
    if [t.get("default", False) for t in targets.values()].count(True) != 1:
        found.append("exactly one target must be the default")
    used: set = set()
    for name, target in targets.items():
        found += [f"target {name}: unknown key {key}" for key in sorted(set(target) - TARGET)]
        found += [
            f"target {name}: {fault}"
            for fault in _Target(root, top, name, _merged(kinds, target.get("resources", {})), used).faults()
        ]
    found += [f"variable {key} is used by nothing" for key in sorted(set(top.get("variables", {})) - used)]
    return sorted(set(found))


def _yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _merged(a, b):
    return {
        k: _merged(a[k], b[k])
        if isinstance(a.get(k), dict) and isinstance(b.get(k), dict)
        else b.get(k, a.get(k))
        for k in {**a, **b}
    }


class _Target:
    def __init__(self, root, top, name, resources, used):
        self.root, self.top, self.name, self.raw, self.used = root, top, name, resources, used
        self.target, self.found = top["targets"][name], []
        given = self.target.get("variables", {})
        declared = top.get("variables", {})
        self.found += [f"sets {key}, which is no variable" for key in sorted(set(given) - set(declared))]
        self.variables = {key: given.get(key, spec.get("default")) for key, spec in declared.items()}
        scripts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        self.package, self.scripts = scripts["name"], scripts["scripts"]
        self.commands = typer.main.get_command(whole()).commands

    def faults(self):
        self.resolved(
            {key: value for key, value in self.target.items() if key not in ("resources", "variables")}
        )
        self.resources = self.resolved(self.raw)
        for kind, ones in self.resources.items():
            if kind not in KINDS:
                self.found.append(f"resources.{kind} is none of {', '.join(KINDS)}")
                continue
            for name, one in ones.items():
                self.typed({k: v for k, v in one.items() if k not in EXTRA}, KINDS[kind], f"{kind}.{name}")
                for key in set(one) & set(EXTRA):
                    self.typed(one[key], eval(EXTRA[key], {"catalog": catalog}), f"{kind}.{name}.{key}")
        for name, job in self.resources.get("jobs", {}).items():
            self.job(name, job)
        return self.found

    def lookup(self, path):
        kind, _, rest = path.partition(".")
        if kind == "var" and self.variables.get(rest) is not None:
            self.used.add(rest)
            return self.resolved(self.variables[rest])
        if path in {"bundle.name": 1, "bundle.target": 1}:
            return {"bundle.name": self.top["bundle"]["name"], "bundle.target": self.name}[path]
        if kind == "resources":
            value = self.raw
            for part in rest.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                return self.resolved(value)
        if path in GIVEN:
            return GIVEN[path]
        self.found.append(f"${{{path}}} leads nowhere")
        return "nowhere"

    def resolved(self, value):
        if isinstance(value, dict):
            return {key: self.resolved(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, str):
            return value
        whole = REFERENCE.fullmatch(value)
        return self.lookup(whole[1]) if whole else REFERENCE.sub(lambda m: str(self.lookup(m[1])), value)

    def typed(self, value, kind, where):
        if typing.get_origin(kind) is typing.Union:
            kind = typing.get_args(kind)[0]
        origin = typing.get_origin(kind)
        if dataclasses.is_dataclass(kind) or inspect.isfunction(kind):
            self.mapping(value, kind, where)
        elif origin is list:
            for one in value if isinstance(value, list) else [None]:
                self.typed(one, typing.get_args(kind)[0], where)
        elif origin is dict:
            for key, one in (value if isinstance(value, dict) else {"": None}).items():
                self.typed(one, typing.get_args(kind)[1], f"{where}.{key}")
        elif issubclass(kind, enum.Enum):
            if value not in {one.value for one in kind}:
                self.found.append(f"{where}: {value!r} is none of {kind.__name__}")
        elif type(value) is not kind:
            self.found.append(f"{where}: {value!r} is no {kind.__name__}")

    def mapping(self, value, kind, where):
        """Check a mapping by the fields of a dataclass, or by the parameters of a function."""
        if not isinstance(value, dict):
            self.found.append(f"{where} must be a mapping")
            return
        hints = {k: v for k, v in typing.get_type_hints(kind).items() if k != "return"}
        given = inspect.signature(kind).parameters
        self.found += [f"{where}: unknown key {key}" for key in sorted(set(value) - set(hints))]
        self.found += [
            f"{where}: no {key}"
            for key in hints
            if given[key].default is inspect.Parameter.empty and key not in value
        ]
        for key in set(value) & set(hints):
            self.typed(value[key], hints[key], f"{where}.{key}")

    def job(self, name, job):
        places = {
            "job_cluster_key": {c["job_cluster_key"] for c in job.get("job_clusters", [])},
            "environment_key": {e["environment_key"] for e in job.get("environments", [])},
        }
        before: set = set()
        self.found += [
            f"job {name}: permission {one} names no level or nobody"
            for one in job.get("permissions", [])
            if len(one) != 2 or "level" not in one
        ]
        for task in job.get("tasks", []):
            where = f"job {name}, task {task['task_key']}"
            chosen = [(key, task[key]) for key in places if key in task]
            if len(chosen) != 1 or chosen[0][1] not in places[chosen[0][0]]:
                self.found.append(f"{where} runs on nothing that the job has: {chosen}")
            self.found += [
                f"{where} waits for {one['task_key']}, which is no task before it"
                for one in task.get("depends_on", [])
                if one["task_key"] not in before
            ]
            before.add(task["task_key"])
            if "python_wheel_task" not in task:
                self.found.append(f"{where} is no python_wheel_task")
            else:
                self.wheel_task(
                    where,
                    task["python_wheel_task"],
                    {p["name"]: p["default"] for p in job.get("parameters", [])},
                )
        for wheel in re.findall(r"[^\s'\"]*\.whl", str(job)):
            if (self.root / "conf" / "bundle" / wheel).resolve().parent != self.root.resolve() / "dist":
                self.found.append(f"job {name}: {wheel} is not where the artifact is built")

    def wheel_task(self, where, task, parameters):
        entry = task.get("entry_point", "")
        module, _, function = self.scripts.get(entry, "").partition(":")
        if (
            task.get("package_name") != self.package
            or not module
            or not callable(getattr(importlib.import_module(module), function, None))
        ):
            self.found.append(f"{where}: {entry} is no entry point of {self.package}")
            return
        command = entry.removeprefix(f"{self.package}-")
        arguments = [
            re.sub(r"\{\{(.*?)\}\}", lambda m: self.dynamic(where, m[1], parameters), one)
            for one in task.get("parameters", [])
        ]
        try:
            options = self.commands[command].make_context(command, arguments).params
            config = load_config(options["config"], options["set_"], options["root"])
        except Exception as error:  # a ConfigError, or typer's error about the arguments
            self.found.append(f"{where}: {error}")
            return
        self.places(where, config, [*arguments, *parameters.values()])

    def dynamic(self, where, path, parameters):
        if path in DYNAMIC:
            return DYNAMIC[path]
        name = path.removeprefix("job.parameters.")
        if name == path or name not in parameters:
            self.found.append(f"{where}: {{{{{path}}}}} is no parameter of the job")
        return parameters.get(name, "nothing")

    def places(self, where, config, texts):
        """Check that tables, files and model are those that the bundle deploys."""
        deployed = {
            kind: {
                tuple(one.get(key) for key in ("catalog_name", "schema_name", "name") if key in one)
                for one in ones.values()
            }
            for kind, ones in self.resources.items()
        }
        schemas, volumes = deployed.get("schemas", set()), deployed.get("volumes", set())
        models = {".".join(map(str, model)) for model in deployed.get("registered_models", set())}
        wrong = (
            []
            if (config.store.catalog, config.store.schema_) in schemas
            else [f"tables go to {config.store.catalog}.{config.store.schema_}, which it does not deploy"]
        )
        wrong += (
            []
            if config.mlflow.model_name in models
            else [f"the model is {config.mlflow.model_name}, which it does not deploy"]
        )
        wrong += (
            [] if config.mlflow.registry_uri == "databricks-uc" else ["the registry is not databricks-uc"]
        )
        paths = [
            path
            for text in [*texts, config.train.checkpoint_dir or ""]
            for path in re.findall(r"/Volumes/([^/]+)/([^/]+)/([^/]+)", text)
        ]
        wrong += [
            f"/Volumes/{'/'.join(path)} is a volume that it does not deploy"
            for path in paths
            if path not in volumes
        ]
        self.found += [f"{where}: {one}" for one in wrong]
