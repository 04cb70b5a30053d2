"""One pool explained: what it holds by facet, and because of what the listener plays each new recording is there."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from trackpools.config import Config
from trackpools.core import on_demand
from trackpools.core.audience import EVERYWHERE, audience
from trackpools.core.because import carriers
from trackpools.core.facts import POPULARITY, TEMPI
from trackpools.core.past import Past
from trackpools.core.shelf import Shelf, code_of_tag
from trackpools.core.sources import enabled, reason_code
from trackpools.core.sources.asking import Shelves, seeds_of
from trackpools.core.sources.listeners import Listeners, Seeds
from trackpools.core.sources.source import Source
from trackpools.shell.releases import Release, released
from trackpools.shell.rows import frame_of
from trackpools.shell.store import Store
from trackpools.shell.switching import served_pools

UNKNOWN = "unknown"


class Explained:
    """A listener's pool in a release; every read is of one user's rows, or of at most some hundred lists.

    Attributes:
        candidates: as `tables.CANDIDATE`, in the order of the pool.
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
        past = Past.of(self._mine("interactions").toArrow(), config, release.as_of)
        near = [*past.recording.tolist(), *(one["recording"] for one in self.candidates)]
        facts = self._few("recording_facts", "recording_idx", near).toArrow()
        self._facts = {row["recording_idx"]: row for row in facts.to_pylist()}
        self._listeners = self._as_block(past, facts.filter(np.isin(facts["recording_idx"], past.recording)))

    def _read(self, name: str) -> DataFrame:
        return released(self._store, self._release, name)

    def _mine(self, name: str) -> DataFrame:
        return self._read(name).where(F.col("user_idx") == self._user)

    def _few(self, name: str, key: str, wanted: Sequence[int]) -> DataFrame:
        keys = frame_of(
            self._store.spark, [{key: int(one)} for one in sorted(set(wanted))], StructType().add(key, "long")
        )
        return self._read(name).join(F.broadcast(keys), key, "left_semi")

    def _as_block(self, past: Past, known: Any) -> Listeners:
        """The listener as sources are shown him; `known` are the facts of his past, an Arrow table."""
        config, ids = self._config, self._read("user_ids").where(F.col("user_idx") == self._user)
        (about,) = audience(
            ids, self._read("users"), config.cards.market_groups, config.taste.minor_bands
        ).collect()
        self._declared = set(about["declared_tags"] or ())
        places = pa.array(np.searchsorted(past.recording, known["recording_idx"]).astype(np.int32))
        facts = Shelf.of_table(known.set_column(0, "recording_idx", places).combine_chunks())
        person = on_demand.Person(
            self._user, about["market"], about["clean"], tuple(about["declared_tags"] or ()), past, {}
        )
        return on_demand.listeners(person, facts.at(np.arange(len(past.recording))), self._release.as_of)

    def by_facet(self) -> dict[str, dict[str, int]]:
        """Facet → value → candidates, commonest first but decades in their order."""
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
        """Of each candidate, what the listener plays that brought it; None for what he knows, and for charts, lots and factors."""
        found: dict[int, tuple[Source, int]] = {}
        leading = {one["recording"]: one["reason"] for one in self.candidates if not one["plays"]}
        for source, seeds, lists in self._asked():
            for recording, key in carriers(seeds, lists, np.array(list(leading), np.int64)).items():
                if recording not in found or leading[recording] == reason_code(source.bit, heard=False):
                    found[recording] = source, key
        names = self._names(list(found.values()))
        return [
            names.get(found[one["recording"]]) if one["recording"] in found else None
            for one in self.candidates
        ]

    def _asked(self) -> list[tuple[Source, Seeds, Shelves]]:
        """The sources whose keys are what a listener loves: his seeds, and the lists he looks up."""
        sources = [source for source in enabled(self._config) if source.keyed is not None]
        asked = [
            (source, seeds_of(source, self._listeners, getattr(self._config.sources, source.name)))
            for source in sources
        ]
        pairs = [{"source": source.bit, "key": key} for source, seeds in asked for key in seeds.key.tolist()]
        keys = frame_of(self._store.spark, pairs, StructType().add("source", "byte").add("key", "long"))
        rows = self._read("source_lists").join(F.broadcast(keys), ["source", "key"], "left_semi").toArrow()
        return [
            (source, seeds, Shelves.of_table(rows.filter(np.asarray(rows["source"]) == source.bit)))
            for source, seeds in asked
        ]

    def _names(self, found: Sequence[tuple[Source, int]]) -> dict[tuple[Source, int], str]:
        """A key of a source as the end of a sentence."""
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
