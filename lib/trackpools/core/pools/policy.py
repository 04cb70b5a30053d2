"""The settings that pools are made with."""

from datetime import datetime
from typing import NamedTuple

from trackpools.config import Config
from trackpools.core.pools.build import PoolRequest
from trackpools.core.rules.eligibility import Standards
from trackpools.core.sources import SOURCES, explore


class Policy(NamedTuple):
    """The settings that pools are made with.

    Attributes:
        request: how to blend.
        standards: what a recording must fulfil to be in a pool.
        heard: the heard policy, `pools.heard`.
    """

    request: PoolRequest
    standards: Standards
    heard: str

    @staticmethod
    def of(config: Config, as_of: datetime) -> "Policy":
        """Return the settings of a configuration, for pools that are made for a moment."""
        return Policy(pool_request(config), Standards.of(config.rules, as_of), config.pools.heard)


def pool_request(config: Config) -> PoolRequest:
    """Return how a configuration blends."""
    weights = {
        source.bit: getattr(config.sources, source.name).weight
        for source in SOURCES
        if source.name in config.sources.names
    }
    pools, own = config.pools, config.rules
    return PoolRequest(
        pools.k,
        pools.rrf_k,
        tuple(weights.get(bit, 0.0) for bit in range(max(weights) + 1)),
        blend=pools.blend,
        mmr=pools.mmr,
        calibration=pools.calibration,
        floor=pools.floor,
        floor_share=pools.floor_share,
        reserve=pools.reserve,
        artist_cap=own.artist_cap,
        album_cap=own.album_cap,
        versions=own.versions,
        explore=(explore.BIT, config.sources.explore.slots),
    )
