"""Read the takedowns without a JVM, at most every 30 seconds, and apply them to a loaded release."""

import time
from dataclasses import dataclass, field
from datetime import date
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trackpools import optional_packages
from trackpools.config import Config
from trackpools.core.proposals.release_arrays import MarketMask
from trackpools.core.proposals.release_layout import market_masks
from trackpools.core.serving.takedowns import Takedowns
from trackpools.fill.solver.rights import ended
from trackpools.shell.releases.switch_state import Latest, Record, known_off

POLL_S = 30.0


def library() -> ModuleType:
    """Import the package deltalake.

    Raises:
        ConfigError: if it is not installed.
    """
    return optional_packages.import_optional(
        "deltalake",
        "the package deltalake, which reads Delta tables without Spark, is missing; install it: pip install 'trackpools[serve]'",
    )


@dataclass(frozen=True)
class DeltaTables:
    """The tables of takedowns under a root, read without a JVM; implements `switch_state.Tables`."""

    root: str

    @property
    def where(self) -> str:
        """The path of the table `switches`."""
        return f"{self.root.rstrip('/')}/tables/switches"

    def record(self) -> Record | None:
        """Return the row of `switch_records` with the greatest version; None if there is none."""
        path, delta = f"{self.root.rstrip('/')}/tables/switch_records", library()
        if not delta.DeltaTable.is_deltatable(path):
            return None
        rows = delta.DeltaTable(path).to_pyarrow_table(columns=["version", "digest"]).to_pylist()
        return max((Record(**row) for row in rows), key=lambda one: one.version, default=None)

    def latest(self) -> Latest | None:
        """Return the latest commit of `switches`; None if there is no such table."""
        delta = library()
        if not delta.DeltaTable.is_deltatable(self.where):
            return None
        table = delta.DeltaTable(self.where)
        return Latest(table.version(), told=any(commit.get("operation") for commit in table.history(1)))

    def off(self, version: int) -> Takedowns:
        """Return what is taken down at a version of `switches`."""
        data = library().DeltaTable(self.where, version=version).to_pyarrow_dataset()
        rows = data.to_table(filter=pc.field("off"), columns=["kind", "value"]).to_pylist()
        return Takedowns(frozenset((row["kind"], row["value"]) for row in rows))


@dataclass
class TakedownWatch:
    """The takedowns under a root, at most POLL_S seconds old.

    While the tables cannot be trusted, the takedowns of `switch_state.known_off` hold.
    """

    root: str
    _off: Takedowns | None = None
    _read_at: float = field(default=0.0)

    def off(self) -> Takedowns:
        """Return what is taken down now.

        Raises:
            ContractError: if the tables cannot be trusted and this process knows no earlier state.
        """
        if self._off is None or time.monotonic() - self._read_at >= POLL_S:
            self._off = known_off(DeltaTables(self.root))
            self._read_at = time.monotonic()
        return self._off

    def rights_ended(self, since: date, today: date) -> list[dict[str, Any]]:
        """Return the tracks with a right that ended after `since` and not after `today`: `track_id, rights`.

        The rights are those of the newest version of `tracks`, not of the release.
        """
        path, delta = f"{self.root}/tables/tracks", library()
        if not delta.DeltaTable.is_deltatable(path):
            return []
        data = delta.DeltaTable(path).to_pyarrow_dataset()
        if "rights" not in data.schema.names:
            return []
        return [
            row
            for batch in data.to_batches(columns=["track_id", "rights"])
            for row in ended(batch, since, today).to_pylist()
        ]

    def tracks_off(self, off: Takedowns) -> pa.StringArray:
        """Return the ids of the tracks taken down by themselves, by artist or by label, as an Arrow array."""
        found = [pa.array(off["track"], pa.string())]
        if off["artist"] or off["label"]:
            data = library().DeltaTable(f"{self.root}/tables/tracks").to_pyarrow_dataset()
            told = ("track_id", "artist_ids", "artist_names", "label")
            rows = data.to_table(
                columns=[name for name in told if name in data.schema.names]
            ).combine_chunks()
            for artists in (rows[name].combine_chunks() for name in ("artist_ids", "artist_names")):
                bound = pc.list_parent_indices(artists).filter(
                    pc.is_in(pc.list_flatten(artists), pa.array(off["artist"], pa.string()))
                )
                found.append(rows["track_id"].combine_chunks().take(bound))
            if "label" in rows.column_names:
                found.append(
                    rows["track_id"]
                    .combine_chunks()
                    .filter(pc.is_in(rows["label"].combine_chunks(), pa.array(off["label"], pa.string())))
                )
        return pa.concat_arrays([one.cast(pa.string()) for one in found])


def markets(cards: pa.Table, tracks: pa.StringArray) -> dict[str, MarketMask]:
    """Build the mask of each market from `track_cards`, with takedowns applied.

    Args:
        cards: an Arrow table of `track_cards`, one row for each recording and market.
        tracks: an Arrow array of the ids of the tracks that are taken down. A recording counts as unavailable
            in a market if its `track_id` or `clean_track_id` there is among them.
    """
    gone = pc.or_(*(pc.is_in(cards[name], tracks) for name in ("track_id", "clean_track_id")))
    there = cards.set_column(
        cards.schema.get_field_index("available"), "available", pc.and_(cards["available"], pc.invert(gone))
    )
    return market_masks(there)


def without_sources(config: Config, off: Takedowns) -> Config:
    """Return the configuration with those sources disabled that are taken down."""
    told = {
        name: getattr(config.sources, name).model_copy(update={"enabled": False})
        for name in off["source"]
        if name in config.sources.names
    }
    return config.model_copy(update={"sources": config.sources.model_copy(update=told)})
