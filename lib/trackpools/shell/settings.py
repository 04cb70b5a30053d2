"""Read and merge the configuration files; tell every problem of a file in one message."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from trackpools.config import Config
from trackpools.errors import ConfigError

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 10  # of --set keys; the configuration's own depth is 3


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (expansion bombs), tags (objects) and keys given twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.events.AliasEvent):
            raise yaml.YAMLError(f"{where}: aliases (*name) are not allowed; write the value out")
        if event.tag is not None:
            raise yaml.YAMLError(f"{where}: tags ({event.tag:.60}) are not allowed; write the plain value")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key.value, str)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: key given twice: {', '.join(map(ascii, twice))}"
            )
        return super().construct_mapping(node, deep)


def conf_dir() -> Path:
    """The shipped `conf` folder: inside the wheel, or beside `lib` in a checkout."""
    packaged = Path(str(resources.files("trackpools"))) / "_conf"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "conf"


def _shipped(name: str) -> str:
    """A shipped file's text; through importlib, for the package may be inside a zip on `--py-files`."""
    packaged = resources.files("trackpools") / "_conf" / name
    return (
        packaged.read_text(encoding="utf-8")
        if packaged.is_file()
        else (conf_dir() / name).read_text(encoding="utf-8")
    )


def _yaml(text: str) -> Any:
    try:
        # _StrictLoader derives from SafeLoader and refuses tags: nothing constructs an object
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ) as error:  # ValueError: 2026-13-45, an integer of 5000 digits
        raise ConfigError("not valid YAML", [" ".join(str(error).split())[:400]]) from error


def parse(text: str, where: str) -> dict[str, Any]:
    """The sections of strict YAML.

    Raises:
        ConfigError: for anything else.
    """
    try:
        values = _yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{where} is not valid YAML; mend it and run again", error.problems) from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(
            f"{where} must hold sections such as `train:` with keys below them; got {values!a:.80}"
        )
    return values


def _overlay(overlay: str) -> dict[str, Any]:
    shipped = {"local", "cluster", "databricks", "s3a"}
    if overlay in shipped:
        return parse(_shipped(f"{overlay}.yml"), f"conf/{overlay}.yml")
    path = Path(overlay)
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(
                f"{overlay!r} is a folder or device; give a YAML file or one of {', '.join(sorted(shipped))}"
            )
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(
                f"{overlay!r} has {path.stat().st_size} bytes; a configuration has at most {MAX_FILE_BYTES}"
            )
        return parse(path.read_text(encoding="utf-8"), overlay)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{overlay!r} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ConfigError(
            f"no configuration file {overlay!a:.200} ({error}); give a file or one of {', '.join(sorted(shipped))}"
        ) from error


def _setting(text: str) -> dict[str, Any]:
    """`a.b=c` as nested dictionaries; the value is read as YAML."""
    key, sign, value = text.partition("=")
    parts = key.strip().split(".")
    if not sign or len(parts) < 2 or len(parts) > MAX_DEPTH or not all(parts):
        raise ConfigError(f"--set takes section.key=value, for example train.rank=32; got {text!a:.200}")
    try:
        parsed: Any = _yaml(value)
    except ConfigError as error:
        raise ConfigError(f"--set {_shown(key)}: the value is not valid YAML", error.problems) from error
    glued = (
        [str(name) for name, told in parsed.items() if told is None and ":" in str(name)]
        if isinstance(parsed, dict)
        else []
    )
    if glued:  # one key to YAML
        raise ConfigError(
            f"--set {_shown(key)}: a space is missing behind the colon of {_shown(', '.join(glued))}; write {{user_id: uid}}"
        )
    for part in reversed(parts):
        parsed = {part: parsed}
    return parsed  # type: ignore[no-any-return]


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge, anything else replaces; `{}`-valued maps such as ingest.columns merge by key too."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _shown(key: str) -> str:
    """A key as a message may hold it: look-alike letters and control characters become visible, 100 characters at most."""
    return ascii(key[:100])[1:-1]


def _keys(model: Any, prefix: str = "") -> Iterable[str]:
    """Every key of the configuration in dots, sections too."""
    for name, field in getattr(model, "model_fields", {}).items():
        key = f"{prefix}{field.alias or name}"
        yield from (key, *_keys(field.annotation, f"{key}."))


def _unknown(key: str, model: type[BaseModel]) -> str:
    """What the writer of an unknown key may have meant: a like name beside it, or the same name elsewhere."""
    parent, dot, last = key.rpartition(".")
    beside = [
        k.removeprefix(parent + dot)
        for k in _keys(model)
        if k.startswith(parent + dot) and "." not in k.removeprefix(parent + dot)
    ]
    close = difflib.get_close_matches(last, beside, n=1)
    meant = (
        [f"{parent}{dot}{name}" for name in close] or [k for k in _keys(model) if k.endswith(f".{last}")]
    )[:3]
    return f"did you mean {' or '.join(meant)}?" if meant else f"known here: {', '.join(beside)}"


def problems_of(error: ValidationError, model: type[BaseModel]) -> Iterable[str]:
    """A sentence for each, with what an unknown key may mean in that model."""
    for one in error.errors():
        key = ".".join(str(part) for part in one["loc"])
        given = (
            ""
            if isinstance(one["input"], BaseModel | dict if one["type"] == "value_error" else BaseModel)
            else f"; got {one['input']!a:.80}"
        )
        if one["type"] == "extra_forbidden":
            yield f"{_shown(key)}: unknown key; {_unknown(key, model)}"
        elif one["type"] == "value_error":
            yield f"{_shown(key)}: {one['ctx']['error']}{given}"
        elif one["type"] == "model_type":
            yield f"{_shown(key)}: must be a section with keys below it{given}"
        else:
            yield f"{_shown(key)}: {one['msg'][0].lower()}{one['msg'][1:]}{given}"


def load_config(overlay: str | None = None, settings: Sequence[str] = (), root: str | None = None) -> Config:
    """The merged configuration.

    Args:
        overlay: a shipped name (local, cluster, databricks, s3a) or a YAML file; None is base alone.
        settings: `section.key=value` each, applied last.
        root: sets `store.root`; a relative one is taken from the current folder.

    Raises:
        ConfigError: with every unknown key, wrong type and value out of range of the merged result.
    """
    values, problems = parse(_shipped("base.yml"), "conf/base.yml"), []
    if overlay is not None:
        values = _merge(values, _overlay(overlay))
    for text in settings:
        try:
            values = _merge(values, _setting(text))
        except ConfigError as error:
            problems.append(": ".join([error.message, *error.problems]))
    if root is not None:
        values = _merge(values, {"store": {"root": root}})
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += problems_of(error, Config)
    if problems:
        raise ConfigError(
            f"the configuration has {len(problems)} problem{'s' * (len(problems) != 1)}", problems
        )
    return _at_home(config)


def _at_home(config: Config) -> Config:
    """A relative root meant from here: Delta takes a relative path for a table's name, and executors have another folder."""
    root = config.store.root
    if root is None or ":" in root.partition("/")[0] or root.startswith("/"):
        return config
    return config.model_copy(
        update={"store": config.store.model_copy(update={"root": str(Path.cwd() / root)})}
    )
