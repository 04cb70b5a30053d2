"""Candidate sources: one module for each, discovered automatically.

A source is a module of this package that defines `SOURCE` (see `source.Source`). Its settings are the section
of the same name under `sources` in `conf/base.yml`. As a frame, the proposals of all sources have one row for
each user and source:
`user_idx int, source tinyint, recordings binary, scores binary, masked int, lot_size int`.

- `recordings` and `scores` are packed int32 and float32 of equal length, best first.
  `packed_items.pack_items` builds these two columns from `items array<struct<recording int, score float>>`.
- `masked` is the number of recordings that the source kept back because of the user's history. A source that
  looks up lists counts the recordings of these lists that the user must not get (blocked, refused by the
  heard policy or, if it proposes new ones only, heard). The other sources count blocked and refused
  recordings of the history.
- `lot_size` is the number of recordings from which the items were drawn by lot (at random, all equally
  likely). It is 0 if the items were ranked. The blend needs it for propensities.

A source may leave out users about whom it knows nothing. docs/sources.md explains one source step by step.
"""

from importlib import import_module
from pkgutil import iter_modules

from trackpools.config import Config
from trackpools.core.sources.source import Source

_MODULES = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
SOURCES: tuple[Source, ...] = tuple(
    sorted((m.SOURCE for m in _MODULES if hasattr(m, "SOURCE")), key=lambda source: source.bit)
)


def configured_sources(config: Config) -> list[Source]:
    """Return the sources that the configuration switches on, ordered by bit."""
    return [
        source
        for source in SOURCES
        if source.name in config.sources.names and getattr(config.sources, source.name).enabled
    ]


def active_sources(config: Config) -> list[Source]:
    """Return the configured sources that propose recordings under the heard policy (`pools.heard`).

    If the policy is `only`, the sources that propose new recordings only are left out.
    """
    return [
        source
        for source in configured_sources(config)
        if not (source.emits == "new" and config.pools.heard == "only")
    ]


def reason_code(bit: int, *, heard: bool) -> int:
    """Return a code of the column `reason`; each source has two, for new and for heard candidates."""
    return 2 * bit + int(heard)


def dictionary() -> dict[str, str]:
    """Return the meaning of all source bits and reason codes; a release stores it.

    Returns:
        `source.<bit>` → name of the source, and `reason.<code>` → sentence.
    """
    names = {f"source.{s.bit}": s.name for s in SOURCES}
    new = {f"reason.{reason_code(s.bit, heard=False)}": s.new_reason for s in SOURCES}
    return names | new | {f"reason.{reason_code(s.bit, heard=True)}": s.heard_reason for s in SOURCES}
