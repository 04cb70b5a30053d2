"""What is switched off, asked again every 30 seconds, without a JVM; and a release without it."""

import time
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trackpools import extras
from trackpools.config import Config
from trackpools.core import bars
from trackpools.core.on_demand import Market
from trackpools.core.switches import Off
from trackpools.fill.rights import ended

POLL_S = 30.0


def library() -> Any:
    """The deltalake package.

    Raises:
        ConfigError: where it is not installed.
    """
    return extras.library(
        "deltalake",
        "pools on demand read Delta tables by the package deltalake; install it: pip install 'trackpools[serve]'",
    )


@dataclass
class Watch:
    """The switches under a root, at most `POLL_S` old; while they cannot be read again, what was known last holds."""

    root: str
    _off: Off | None = None
    _asked: float = field(default=0.0)

    def off(self) -> Off:
        """What is off now."""
        if self._off is None or time.monotonic() - self._asked >= POLL_S:
            try:
                self._off = self._read()
            except OSError:
                if self._off is None:
                    raise
            self._asked = time.monotonic()
        return self._off

    def _read(self) -> Off:
        path, delta = f"{self.root}/tables/switches", library()
        if not delta.DeltaTable.is_deltatable(path):
            return Off()
        rows = (
            delta.DeltaTable(path)
            .to_pyarrow_dataset()
            .to_table(filter=pc.field("off"), columns=["kind", "value"])
            .to_pylist()
        )
        return Off(frozenset((row["kind"], row["value"]) for row in rows))

    def rights_ended(self, since: date, today: date) -> list[dict[str, Any]]:
        """`track_id, rights` of the tracks of which a right has ended after one day and by another, by today's catalogue."""
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

    def tracks_off(self, off: Off) -> Any:
        """Ids of the tracks that are off by themselves, their artist or their label: an Arrow array."""
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


def markets(cards: Any, tracks: Any) -> dict[str, Market]:
    """What each market bars, from an Arrow table of `track_cards`, with every recording taken down one of whose tracks is among these."""
    gone = pc.or_(*(pc.is_in(cards[name], tracks) for name in ("track_id", "clean_track_id")))
    there = cards.set_column(
        cards.schema.get_field_index("available"), "available", pc.and_(cards["available"], pc.invert(gone))
    )
    return {
        name: Market(*bars.of_cards(there.filter(pc.equal(there["market"], name))))
        for name in pc.unique(there["market"]).to_pylist()
    }


def without_sources(config: Config, off: Off) -> Config:
    """The configuration with the sources switched off that are."""
    told = {
        name: getattr(config.sources, name).model_copy(update={"enabled": False})
        for name in off["source"]
        if name in config.sources.names
    }
    return config.model_copy(update={"sources": config.sources.model_copy(update=told)})
