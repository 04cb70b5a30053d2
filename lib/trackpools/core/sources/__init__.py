"""Candidate sources: one file each, found by themselves.

A source is a module here with a `SOURCE`, see `source.Source`, and a section of its name under `sources` in `conf/base.yml`. What all of them propose is
one frame, a row a user and source: `user_idx int, source tinyint, recordings binary, scores binary, masked int`: int32 and float32 side by side, best
first. `items.packed` makes the two of `items array<struct<recording int, score float>>`. A source may leave out users it knows nothing of.
docs/sources.md walks through one.
"""

from importlib import import_module
from pkgutil import iter_modules

from trackpools.config import Config
from trackpools.core.sources.source import Source

_MODULES = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
SOURCES: tuple[Source, ...] = tuple(
    sorted((m.SOURCE for m in _MODULES if hasattr(m, "SOURCE")), key=lambda source: source.bit)
)


def switched_on(config: Config) -> list[Source]:
    """The sources that the configuration switches on, in bit order."""
    return [
        source
        for source in SOURCES
        if source.name in config.sources.names and getattr(config.sources, source.name).enabled
    ]


def enabled(config: Config) -> list[Source]:
    """Those of them that are asked: of new recordings only where the heard policy wants any."""
    return [
        source
        for source in switched_on(config)
        if not (source.emits == "new" and config.pools.heard == "only")
    ]


def reason_code(bit: int, *, heard: bool) -> int:
    """Code of the `reason` column: two a source."""
    return 2 * bit + int(heard)


def dictionary() -> dict[str, str]:
    """What bits and codes mean, to be pinned by the release: `source.<bit>` → name, `reason.<code>` → sentence."""
    names = {f"source.{s.bit}": s.name for s in SOURCES}
    new = {f"reason.{reason_code(s.bit, heard=False)}": s.new_reason for s in SOURCES}
    return names | new | {f"reason.{reason_code(s.bit, heard=True)}": s.heard_reason for s in SOURCES}
