"""What makes two runs the same work: code, configuration, inputs, as_of."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path

from trackpools import __version__
from trackpools.config import Config

BESIDE = ("_jobs/", "_conf/")


@cache
def code_hash() -> str:
    """Hash of the package's sources, so that a changed line of code is another run; the same in a zip as in a folder."""
    digest = hashlib.sha256(__version__.encode())
    for name, content in sorted(_sources(Path(__file__).resolve().parents[1])):
        digest.update(name.encode() + content)
    return digest.hexdigest()[:16]


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    """`(name, content)` of every file of code; jobs and configuration, which lie beside the package or in it, are none of it."""
    if package.is_dir():
        names = ((path.relative_to(package).as_posix(), path) for path in package.rglob("*.py"))
        yield from ((name, path.read_bytes()) for name, path in names if not name.startswith(BESIDE))
        return
    with zipfile.ZipFile(package.parent) as packed:
        for whole in packed.namelist():
            name = whole.removeprefix(f"{package.name}/")
            if name != whole and name.endswith(".py") and not name.startswith(BESIDE):
                yield name, packed.read(whole)


def sections_hash(config: Config, sections: tuple[str, ...]) -> str:
    """Hash of the configuration sections a result depends on."""
    values = config.model_dump(mode="json", by_alias=True, include=set(sections))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def run_key(
    job: str, config: str, versions: Mapping[str, int], as_of: datetime, known_as_of: datetime
) -> str:
    """Identity of one stage's work: 16 hexadecimal digits."""
    parts = [
        job,
        code_hash(),
        config,
        json.dumps(dict(versions), sort_keys=True),
        as_of.isoformat(),
        known_as_of.isoformat(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
