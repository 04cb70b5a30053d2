"""Worlds with provable answers: users and recordings in blocks that share nothing."""

import datetime as dt
import itertools
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import functions as F

from builders import rows
from trackpools.core.catalogue import track_cards
from trackpools.core.log.audience import audience
from trackpools.core.proposals.pool_inputs import PoolInputs
from trackpools.core.proposals.release_layout import LAYOUTS, lay_out
from trackpools.core.rules import eligibility
from trackpools.core.sources import configured_sources
from trackpools.core.sources.source_inputs import ListInputs
from trackpools.core.sources.source_lists import all_lists
from trackpools.shell.arrays.open_arrays import sent
from trackpools.shell.arrays.written_arrays import columns_of

AS_OF = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
KEYS = itertools.count()


def open_arrays(spark, config, **tables):
    """Return what opens the arrays of these tables in a task; tables that are not given are empty."""
    read = columns_of({name: rows(spark, name) for name in LAYOUTS} | tables)
    laid_out = {name: lay_out(name, read(name, LAYOUTS[name].columns), config.topk) for name in LAYOUTS}
    return sent(spark, laid_out, f"world {next(KEYS)}")


@dataclass(frozen=True)
class Blocks:
    """Users and recordings in blocks: user u and recording r are in block u % blocks and r % blocks.

    Every user heard all of the own block but `hidden` recordings, a different set for each user, and
    nothing of another block. So every sound model of rank ≥ blocks puts the hidden recordings of the own
    block before all others: they are heard by the same users as what this user heard, and these users heard
    nothing outside the block.

    Attributes:
        users, recordings: their numbers in all blocks together.
        hidden: the number of recordings of the own block that a user has not heard.
    """

    blocks: int = 3
    users: int = 24
    recordings: int = 36
    hidden: int = 3

    def block(self, idx):
        return idx % self.blocks

    def own(self, user):
        """Return the recordings of the user's block, in ascending order."""
        return [r for r in range(self.recordings) if self.block(r) == self.block(user)]

    def unheard(self, user):
        """Return the recordings that a pool of new music must start with, in any order."""
        own, shift = self.own(user), user // self.blocks
        return {own[(shift * self.hidden + i) % len(own)] for i in range(self.hidden)}

    def heard(self, user):
        return set(self.own(user)) - self.unheard(user)

    @cached_property
    def pairs(self):
        """Return (user, recording) of all that was heard."""
        return [(u, r) for u in range(self.users) for r in sorted(self.heard(u))]

    def interactions(self, spark):
        """Return a frame with one play of each pair, a week before `AS_OF`."""
        week = (AS_OF - dt.timedelta(days=7)).date()
        return rows(
            spark,
            "interactions",
            *(
                {
                    "user_idx": u,
                    "recording_idx": r,
                    "mass": 1.0,
                    "plays": 1,
                    "first_day": week,
                    "last_day": week,
                }
                for u, r in self.pairs
            ),
        )

    def training(self, spark):
        """Return the training set for an engine."""
        return spark.createDataFrame(
            [(u, r, 1.0, 0.0) for u, r in self.pairs],
            "user_idx int, recording_idx int, positive double, negative double",
        )

    def user_ids(self, spark):
        return rows(spark, "user_ids", *({"user_id": f"u{u}", "user_idx": u} for u in range(self.users)))

    def recording_ids(self, spark):
        return rows(
            spark,
            "recording_ids",
            *({"recording_id": f"r{r}", "recording_idx": r} for r in range(self.recordings)),
        )

    def tracks(self, spark):
        return rows(
            spark,
            "tracks",
            *(
                {
                    "track_id": f"r{r}",
                    "title": f"Song {r}",
                    "artist_ids": [f"a{self.block(r)}"],
                    "available": True,
                    "explicit": False,
                }
                for r in range(self.recordings)
            ),
        )

    def inputs(self, spark, config, factors):
        """Return the inputs of sources, with `factors` as the `(users, recordings)` of a fit."""
        everybody = audience(self.user_ids(spark), rows(spark, "users"), {}, ())
        met = self.interactions(spark)
        known = track_cards.build_cards(
            self.tracks(spark), self.recording_ids(spark), everybody, met, as_of=AS_OF, groups={}
        )
        facts = rows(
            spark,
            "recording_facts",
            *(
                {"recording_idx": r, "song": r, "artist": self.block(r), "album": r, "listeners": self.users}
                for r in range(self.recordings)
            ),
        )
        weighed = met.select("user_idx", "recording_idx", "plays", "last_day", F.lit(1.0).alias("weight"))
        given = ListInputs(
            interactions=weighed,
            days=rows(spark, "plays_daily"),
            facts=facts,
            cards=known,
            recording_factors=factors[1],
            recordings=self.recordings,
            config=config,
            as_of=AS_OF,
        )
        return PoolInputs(
            as_of=AS_OF,
            users=everybody.join(
                rows(spark, "user_features").select("user_idx", "profile"), "user_idx", "left"
            ),
            history=eligibility.history(
                met, heard=config.pools.heard, rules=config.rules, weights=config.weights, as_of=AS_OF
            ),
            config=config,
            vectors={"user_factors": factors[0]},
            arrays=open_arrays(
                spark,
                config,
                recording_facts=facts,
                track_cards=known,
                recording_factors=factors[1],
                source_lists=all_lists(given, configured_sources(config)),
            ),
        )
