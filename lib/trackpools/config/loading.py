"""Read and merge the configuration files; one error reports all invalid keys and values together."""

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from rapidfuzz import fuzz, process

from trackpools.config import Config
from trackpools.errors import ConfigError
from trackpools.paths import PACKAGE

MAX_FILE_BYTES = 1_000_000
MAX_DEPTH = 10  # most parts of a key of --set; the configuration itself has three levels


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses aliases, tags and repeated keys.

    Aliases could expand to a huge value, and tags could construct objects.
    """

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
                f"line {node.start_mark.line + 1}: a section may give each key only once, "
                f"but these are given more than once: {', '.join(map(ascii, twice))}"
            )
        return super().construct_mapping(node, deep)


def conf_dir() -> Path:
    """Return the `conf` folder of trackpools: inside the wheel, or beside `lib` in a checkout."""
    packaged = Path(str(resources.files("trackpools"))) / "_conf"
    return packaged if packaged.is_dir() else PACKAGE.parents[1] / "conf"


def _shipped(name: str) -> str:
    """Return the text of a file of the `conf` folder.

    It is read by importlib, because the package may be inside a zip on `--py-files`.
    """
    packaged = resources.files("trackpools") / "_conf" / name
    return (
        packaged.read_text(encoding="utf-8")
        if packaged.is_file()
        else (conf_dir() / name).read_text(encoding="utf-8")
    )


def _yaml(text: str) -> Any:
    try:
        # _StrictLoader derives from SafeLoader and refuses tags, so no object is constructed
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ) as error:  # ValueError: for example 2026-13-45, or an integer of 5000 digits
        raise ConfigError("the text is not valid YAML", [" ".join(str(error).split())[:400]]) from error


def parse(text: str, where: str) -> dict[str, Any]:
    """Parse a configuration file of YAML, see `_StrictLoader`.

    Args:
        text: content of the file.
        where: name of the file, for error messages.

    Returns:
        Section → keys and values; empty if the text is empty.

    Raises:
        ConfigError: if the text is not valid YAML, or is not a mapping whose keys are texts.
    """
    try:
        values = _yaml(text)
    except ConfigError as error:
        raise ConfigError(f"{where} is not valid YAML; correct it and run again", error.problems) from error
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
                f"{overlay!r} has {path.stat().st_size} bytes; a configuration file may have at most {MAX_FILE_BYTES}"
            )
        return parse(path.read_text(encoding="utf-8"), overlay)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{overlay!r} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: the name contains a NUL character
        raise ConfigError(
            f"the configuration file {overlay!a:.200} cannot be opened ({error}); "
            f"give a YAML file or one of {', '.join(sorted(shipped))}"
        ) from error


def _setting(text: str) -> dict[str, Any]:
    """Parse a setting `a.b=c` into nested dictionaries; the value is read as YAML."""
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
    if glued:  # YAML reads {user_id:uid} as a single key without a value
        raise ConfigError(
            f"--set {_shown(key)}: YAML needs a space after the colon in {_shown(', '.join(glued))}; "
            "write for example {user_id: uid}"
        )
    for part in reversed(parts):
        parsed = {part: parsed}
    return parsed  # type: ignore[no-any-return]


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`; mappings are merged key by key, other values are replaced.

    This holds for maps such as `ingest.columns` too, so `over` cannot remove a key.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _shown(key: str) -> str:
    """Return at most 100 characters of a key for a message, with all characters beyond ASCII escaped.

    So control characters, and letters that look like others, become visible.
    """
    return ascii(key[:100])[1:-1]


def _keys(model: Any, prefix: str = "") -> Iterable[str]:
    """Yield the dotted name of every section and key of a model of the configuration."""
    for name, field in getattr(model, "model_fields", {}).items():
        key = f"{prefix}{field.alias or name}"
        yield from (key, *_keys(field.annotation, f"{key}."))


def _unknown(key: str, model: type[BaseModel]) -> str:
    """Suggest what an unknown key may have meant.

    A suggestion is a similar key in the same section, or a key of the same name in other sections. If there
    is none, the known keys of the section are listed.
    """
    parent, dot, last = key.rpartition(".")
    beside = [
        k.removeprefix(parent + dot)
        for k in _keys(model)
        if k.startswith(parent + dot) and "." not in k.removeprefix(parent + dot)
    ]
    close = process.extractOne(last, beside, scorer=fuzz.ratio, score_cutoff=60)
    elsewhere = [k for k in _keys(model) if k.endswith(f".{last}")][:3]
    meant = [f"{parent}{dot}{close[0]}"] if close else elsewhere
    return f"did you mean {' or '.join(meant)}?" if meant else f"the keys here are {', '.join(beside)}"


def problems_of(error: ValidationError, model: type[BaseModel]) -> Iterable[str]:
    """Yield one sentence for each problem of a validation; for an unknown key it has a suggestion.

    Args:
        error: the error of pydantic.
        model: the model that was validated, which has the known keys.
    """
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
    """Merge `conf/base.yml`, the overlay, the settings and the root, in this order; validate the result.

    Args:
        overlay: a file in `conf` (local, cluster, databricks or s3a), or the path of a YAML file, whose values
            override those of `base.yml`; None for no such file.
        settings: further values, each as `section.key=value`.
        root: value of `store.root`; None keeps the present value. If it is a relative path of this machine, it
            is resolved from the current folder.

    Raises:
        ConfigError: if a file cannot be used; or if a setting is malformed, or the result has unknown keys,
            wrong types or values out of range, and then the error lists all of these.
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
    return _with_absolute_root(config)


def _with_absolute_root(config: Config) -> Config:
    """Return the configuration with an absolute `store.root`, if it is a relative path of this machine.

    Delta would read a relative path as the name of a table, and executors have another current folder.
    """
    root = config.store.root
    if root is None or ":" in root.partition("/")[0] or root.startswith("/"):
        return config
    return config.model_copy(
        update={"store": config.store.model_copy(update={"root": str(Path.cwd() / root)})}
    )
