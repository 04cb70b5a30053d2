"""Explain the pool of one user.

The explanation counts the candidates by facet, and names the plays that brought each new recording into the
pool.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from trackpools.config import Config
from trackpools.core.arrays.recording_table import RecordingTable, code_of_tag
from trackpools.core.catalogue.recording_facts import POPULARITY, TEMPI
from trackpools.core.log.audience import EVERYWHERE, audience
from trackpools.core.pools import online
from trackpools.core.pools.attribution import carriers
from trackpools.core.pools.user_history import UserHistory
from trackpools.core.sources import active_sources, reason_code
from trackpools.core.sources.lookup_arrays import SourceLists, seeds_of
from trackpools.core.sources.source import Source
from trackpools.core.sources.user_block import Seeds, UserBlock
from trackpools.shell.releases.releases import Release, read_pinned
from trackpools.shell.releases.take_down import served_pools
from trackpools.shell.spark.driver_rows import frame_of
from trackpools.shell.store.store import Store

UNKNOWN = "unknown"


class PoolExplanation:
    """The pool of one user in a release, with explanations.

    Reads fetch only the rows of this user, of the recordings in the history and the pool, and of at most some
    hundred source lists.

    Args:
        store: The store that holds the release.
        release: The release to read.
        config: The merged configuration.
        user: Raw id (`user_id`) of a user with a pool in the release.

    Attributes:
        candidates: Rows of type `tables.CANDIDATE`, in the order of the pool.
    """

    def __init__(self, store: Store, release: Release, config: Config, user: str) -> None:
        self._store, self._release, self._config = store, release, config
        (who,) = self._read("user_ids").where(F.col("user_id") == user).collect()
        self._user = int(who["user_idx"])
        (pool,) = (
            served_pools(store, release, config)
            .where(F.col("user_idx") == self._user)
            .select("candidates")
            .collect()
        )
        self.candidates: list[Any] = pool["candidates"]
        past = UserHistory.of(self._mine("interactions").toArrow(), config, release.as_of)
        near = [*past.recording.tolist(), *(one["recording"] for one in self.candidates)]
        facts = self._few("recording_facts", "recording_idx", near).toArrow()
        self._facts = {row["recording_idx"]: row for row in facts.to_pylist()}
        self._listeners = self._as_block(past, facts.filter(np.isin(facts["recording_idx"], past.recording)))

    def _read(self, name: str) -> DataFrame:
        return read_pinned(self._store, self._release, name)

    def _mine(self, name: str) -> DataFrame:
        return self._read(name).where(F.col("user_idx") == self._user)

    def _few(self, name: str, key: str, wanted: Sequence[int]) -> DataFrame:
        keys = frame_of(
            self._store.spark, [{key: int(one)} for one in sorted(set(wanted))], StructType().add(key, "long")
        )
        return self._read(name).join(F.broadcast(keys), key, "left_semi")

    def _as_block(self, past: UserHistory, known: Any) -> UserBlock:
        """Return the user as a block of one user, the form that sources read.

        Args:
            past: The history of the user.
            known: Arrow table of the facts of the recordings in the history.
        """
        config, ids = self._config, self._read("user_ids").where(F.col("user_idx") == self._user)
        (about,) = audience(
            ids, self._read("users"), config.cards.market_groups, config.taste.minor_bands
        ).collect()
        self._declared = set(about["declared_tags"] or ())
        places = pa.array(np.searchsorted(past.recording, known["recording_idx"]).astype(np.int32))
        facts = RecordingTable.from_arrow(known.set_column(0, "recording_idx", places).combine_chunks())
        person = online.OnlineUser(
            self._user, about["market"], about["clean"], tuple(about["declared_tags"] or ()), past, {}
        )
        return online.user_as_block(
            person, facts.rows_of(np.arange(len(past.recording))), self._release.as_of
        )

    def by_facet(self) -> dict[str, dict[str, int]]:
        """Return facet → value → number of candidates.

        Values are ordered by number of candidates, largest first; decades are in chronological order.
        """
        counts: dict[str, Counter[str]] = {
            name: Counter() for name in ("decade", "tempo", "kind", "familiarity", "popularity")
        }
        for one in self.candidates:
            facts = self._facts.get(one["recording"], {})
            tempo, band = facts.get("tempo_band"), facts.get("popularity_band")
            counts["decade"][f"{facts['decade']}s" if facts.get("decade") else UNKNOWN] += 1
            counts["tempo"][UNKNOWN if tempo is None else TEMPI[tempo]] += 1
            counts["kind"][facts.get("group_name") or UNKNOWN] += 1
            counts["familiarity"]["heard" if one["plays"] or one["last_day"] is not None else "new"] += 1
            counts["popularity"][UNKNOWN if band is None else POPULARITY[band]] += 1
        order = {
            name: sorted(c.items()) if name == "decade" else c.most_common() for name, c in counts.items()
        }
        return {name: dict(items) for name, items in order.items()}

    def because(self) -> list[str | None]:
        """Return for each candidate, in pool order, a phrase that names what brought it into the pool.

        The phrase is None for recordings that the user already played, and for recordings from sources
        without such a reason: charts, random exploration and factors.
        """
        found: dict[int, tuple[Source, int]] = {}
        leading = {one["recording"]: one["reason"] for one in self.candidates if not one["plays"]}
        for source, seeds, lists in self._lists_of_user():
            for recording, key in carriers(seeds, lists, np.array(list(leading), np.int64)).items():
                if recording not in found or leading[recording] == reason_code(source.bit, heard=False):
                    found[recording] = source, key
        names = self._names(list(found.values()))
        return [
            names.get(found[one["recording"]]) if one["recording"] in found else None
            for one in self.candidates
        ]

    def _lists_of_user(self) -> list[tuple[Source, Seeds, SourceLists]]:
        """Return each active source that looks up lists by key, the user's seeds, and the lists of their keys."""
        sources = [source for source in active_sources(self._config) if source.keyed is not None]
        asked = [
            (source, seeds_of(source, self._listeners, getattr(self._config.sources, source.name)))
            for source in sources
        ]
        pairs = [{"source": source.bit, "key": key} for source, seeds in asked for key in seeds.key.tolist()]
        keys = frame_of(self._store.spark, pairs, StructType().add("source", "byte").add("key", "long"))
        rows = self._read("source_lists").join(F.broadcast(keys), ["source", "key"], "left_semi").toArrow()
        return [
            (source, seeds, SourceLists.from_arrow(rows.filter(np.asarray(rows["source"]) == source.bit)))
            for source, seeds in asked
        ]

    def _names(self, found: Sequence[tuple[Source, int]]) -> dict[tuple[Source, int], str]:
        """Return (source, key) → a phrase such as `because you play Song (Artist)`."""
        numbers = [key for source, key in found if source.keyed != "tag"]
        cards = self._few("track_cards", "recording_idx", numbers).where(F.col("market") == EVERYWHERE)
        told = {
            row["recording_idx"]: row
            for row in cards.select(
                "recording_idx", "recording_id", "title", "artist_names", "artist_ids"
            ).collect()
        }
        words = {tag for facts in self._facts.values() for tag in facts["tags"] or ()} | self._declared
        tags = {code_of_tag(tag): tag for tag in words}
        names = {}
        for source, key in set(found):
            if source.keyed == "tag":
                names[source, key] = f"because of {tags.get(key, UNKNOWN)}"
                continue
            card = told[key]
            artist = next(iter(card["artist_names"] or card["artist_ids"] or ()), UNKNOWN)
            loved = (
                artist if source.keyed == "artist" else f"{card['title'] or card['recording_id']} ({artist})"
            )
            names[source, key] = f"because you play {loved}"
        return names
