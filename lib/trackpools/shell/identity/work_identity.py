"""Decide whether two runs do the same work, from hashes of code, configuration, inputs and `as_of`."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from trackpools._compat import former_codes
from trackpools.config import Config
from trackpools.shell.identity.code_reach import PackageCode


@cache
def code_hash(*entries: Callable[..., object]) -> str:
    """Hash what functions or classes compute, together with all code of trackpools that they reach.

    A moved file, another order of definitions, and a reworded docstring, annotation or error do not change
    the hash. A changed constant, operator or default value changes it, and so does a renamed function. The
    version of trackpools is not part of the hash. `code_reach` describes which code is reached, and
    `normalised_syntax` which parts of the code count.

    The hashes of all stages take 0.55 s of CPU time together, once in each process; then they are cached.

    Args:
        entries: functions or classes. If a function calls functions that it receives as arguments, its source
            does not name them, so they must be given as further entries.

    Returns:
        16 hexadecimal digits.

    Raises:
        LookupError: if an entry is not a function or class at the top level of a module of trackpools.
    """
    return _package().hash_of((one.__module__, one.__qualname__) for one in entries)


@cache
def _package() -> PackageCode:
    return PackageCode(files("trackpools"))


def sections_hash(config: Config, sections: tuple[str, ...]) -> str:
    """Return the hash, 16 hexadecimal digits, of the configuration sections on which a result depends."""
    values = config.model_dump(mode="json", by_alias=True, include=set(sections))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def stands(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether older rows of a table are still valid.

    They are valid if the code computes the same, the settings are equal and the catalogue is the same.

    Args:
        before: metadata of the commit that wrote the older rows.
        now: `code`, `settings` and `tracks_version`; see `stage_writer.unchanged`.
    """
    same_code = before.get("code") in codes(now["code"])
    return same_code and all(before.get(key) == now[key] for key in ("settings", "tracks_version"))


def codes(code: str) -> tuple[str, ...]:
    """Return a code hash, followed by the hashes that older trackpools versions gave to equivalent code."""
    return (code, *former_codes(code))


def run_key(
    job: str, code: str, config: str, versions: Mapping[str, int], *, as_of: datetime, known_as_of: datetime
) -> str:
    """Return the identity of one piece of work, 16 hexadecimal digits.

    Args:
        job: name of the stage.
        code: hash of the code on which its result depends.
        config: hash of the configuration on which its result depends.
        versions: table name → pinned version, for each table that the stage reads.
        as_of: only plays before this time count.
        known_as_of: only plays received before this time count.
    """
    pinned = json.dumps(dict(versions), sort_keys=True)
    parts = [job, code, config, pinned, as_of.isoformat(), known_as_of.isoformat()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
