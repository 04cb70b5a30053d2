"""What makes two runs the same work: code, configuration, inputs, as_of."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from trackpools import __version__
from trackpools.config import Config


@cache
def code_hash() -> str:
    """Hash of the package's sources, so that a changed line of code is another run; the version inside a zip."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256(__version__.encode())
    if package.is_dir():
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def sections_hash(config: Config, sections: tuple[str, ...]) -> str:
    """Hash of the configuration sections a result depends on."""
    values = config.model_dump(mode="json", by_alias=True, include=set(sections))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def run_key(job: str, config: str, versions: Mapping[str, int], as_of: datetime, known_as_of: datetime) -> str:
    """Identity of one stage's work: 16 hexadecimal digits."""
    parts = [job, code_hash(), config, json.dumps(dict(versions), sort_keys=True), as_of.isoformat(), known_as_of.isoformat()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
