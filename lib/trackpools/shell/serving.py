"""A release held in memory, without a JVM: delta-rs reads its tables at their pinned versions, and one listener is answered in milliseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow.compute as pc

from trackpools import extras
from trackpools.config import Config
from trackpools.core import known
from trackpools.core.als.factors import matrix
from trackpools.core.audience import EVERYWHERE, minor
from trackpools.core.channels import PROD
from trackpools.core.known import Known
from trackpools.core.on_demand import Person, Release
from trackpools.core.past import Event, Past
from trackpools.core.switches import Off
from trackpools.errors import InputError
from trackpools.shell.arrays import CARDS, SPACES, arrays
from trackpools.shell.watching import Watch, library, markets, without_sources
from trackpools.tables import OVERLAYS


@dataclass(frozen=True)
class Opened:
    """The pinned tables of one release under a root, and when it looked at the world; `note` is what is to be said of where they are read from."""

    root: str
    seq: int
    versions: Mapping[str, int]
    as_of: datetime
    created_at: datetime
    release_id: str
    model_version: str
    config: Config
    watch: Watch
    dictionary: Mapping[str, str]
    note: str = ""
    served: dict[Off, Release] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where listeners and catalogue are read from."""
        return "the tables"

    @staticmethod
    def of(config: Config, seq: int | None = None) -> "Opened":
        """The release in force, or that of a number.

        Raises:
            InputError: where there is none.
        """
        root = str(config.store.root)
        rows = library().DeltaTable(f"{root}/tables/releases").to_pyarrow_table().to_pylist()
        known = {row["seq"]: row for row in rows}
        row = known.get(
            max((one for one, row in known.items() if (row.get("channel") or PROD) == PROD), default=0)
            if seq is None
            else seq
        )
        if row is None:
            raise InputError(
                f"no release {seq or ''} under {root}; known: {', '.join(map(str, sorted(known))) or 'none'}"
            )
        versions = {table["name"]: table["version"] for table in row["tables"]}
        return Opened(
            root,
            row["seq"],
            versions,
            row["as_of"].astimezone(UTC),
            row["created_at"].astimezone(UTC),
            row["release_id"],
            row["model_version"],
            config,
            Watch(root),
            dict(row["dictionary"]),
        )

    def data(self, name: str) -> Any:
        """A table at its pinned version, as a pyarrow dataset."""
        return (
            library()
            .DeltaTable(f"{self.root}/tables/{name}", version=self.versions[name])
            .to_pyarrow_dataset()
        )

    @property
    def release(self) -> Release:
        """Its arrays as they may be served now: read once, some seconds a million recordings, and what is switched off looked up again when that changes.

        Raises:
            StoppedError: where everything is off, or this model.
        """
        off = self.watch.off()
        off.require_on(self.model_version)
        if off not in self.served:
            whole = self._whole
            self.served.clear()
            self.served[off] = (
                whole
                if not off.pairs
                else replace(
                    whole,
                    config=without_sources(self.config, off),
                    markets=markets(self._cards(), self.watch.tracks_off(off)),
                    masks={},
                )
            )
        return self.served[off]

    def _cards(self) -> Any:
        return self._columns("track_cards", CARDS)

    def _columns(self, name: str, columns: Sequence[str]) -> Any:
        data = self.data(name)
        return data.to_table(columns=[column for column in columns if column in data.schema.names])

    @cached_property
    def _whole(self) -> Release:
        return arrays(self._columns, self.config, self.as_of)

    @cached_property
    def _people(self) -> dict[str, Any]:
        names = (
            "user_ids",
            "users",
            "interactions",
            "pools",
            "pools_hot",
            "user_factors",
            "user_factors_hot",
            "user_vectors",
        )
        return {name: self.data(name) for name in names if name in self.versions}

    def _newest(self, name: str, key: str, idx: int, columns: list[str], within: Any = None) -> Any:
        """The rows of a listener in a table, or where the last refresh wrote one that one: an Arrow table."""
        people, hot = self._people, OVERLAYS[name].name if name in OVERLAYS else ""
        mine = pc.field(key) == idx if within is None else (pc.field(key) == idx) & within
        if hot in people:
            rows = people[hot].to_table(filter=mine, columns=[*columns, "refresh"])
            if len(rows):
                return rows.sort_by([("refresh", "descending")]).slice(0, 1).select(columns)
        return people[name].to_table(filter=mine, columns=columns)

    def _pool(self, idx: int) -> dict[str, Any] | None:
        """The row of `pools` in force, looked for in its bucket, and elsewhere where the release has another number of buckets than the configuration."""
        rows = self._newest(
            "pools",
            "user_idx",
            idx,
            list(known.POOL),
            within=pc.field("bucket") == bucket(idx, self.config.pools.buckets),
        )
        return next(
            iter(
                (rows if len(rows) else self._newest("pools", "user_idx", idx, list(known.POOL))).to_pylist()
            ),
            None,
        )

    def known(self, user_id: str, *, pool: bool = False) -> Known:
        """What the release knows of a listener.

        Args:
            pool: whether its row of `pools` is wanted too.

        Raises:
            InputError: where it knows no such user.
        """
        people = self._people
        found = people["user_ids"].to_table(filter=pc.field("user_id") == user_id)["user_idx"].to_pylist()
        if not found:
            raise InputError(
                f"release {self.release_id} knows no such user; is the id right?", [user_id[:200]]
            )
        (idx,) = found
        profile = (
            people["users"]
            .to_table(filter=pc.field("user_id") == user_id, columns=list(known.PROFILE))
            .to_pylist()
        )
        vectors = {
            name: self._newest(name, "idx", idx, ["factors"])["factors"]
            for name in known.VECTORS
            if name in people
        }
        return Known(
            idx,
            profile[0] if profile else {},
            people["interactions"].to_table(filter=pc.field("user_idx") == idx, columns=list(known.PAST)),
            {name: matrix(rows)[0] for name, rows in vectors.items() if len(rows)},
            self._pool(idx) if pool else None,
        )

    def person(self, user_id: str, events: tuple[Event, ...] = ()) -> Person:
        """A listener as sources and rules ask of one, with events that no table has yet.

        Raises:
            InputError: where the release knows no such user.
            StoppedError: where everything is off, the model, or the listener's market.
        """
        return self.person_of(self.known(user_id), events)

    def person_of(self, one: Known, events: tuple[Event, ...] = ()) -> Person:
        """The same of what is known already.

        Raises:
            StoppedError: where everything is off, the model, or the listener's market.
        """
        told_market = str(one.profile.get("market") or EVERYWHERE)
        market = self.config.cards.market_groups.get(told_market, told_market)
        self.watch.off().require_on(self.model_version, market)
        clean = one.profile.get("explicit_policy") == "clean" or minor(
            one.profile.get("birth_band"), self.config.taste.minor_bands
        )
        return Person(
            idx=one.idx,
            market=market,
            clean=clean,
            declared=tuple(one.profile.get("declared_tags") or ()),
            past=Past.of(one.interactions, self.config, self.as_of, events),
            vectors={bit: one.vectors[users] for bit, (users, _) in SPACES.items() if users in one.vectors},
        )


def bucket(user_idx: int, buckets: int) -> int:
    """`assemble.bucket_of` of one listener: Spark's xxhash64 of an int is that of its 4 bytes, with 42 as seed and read as signed."""
    hashed = xxhash().xxh64_intdigest(user_idx.to_bytes(4, "little", signed=True), 42)
    return int(hashed - (1 << 64) * (hashed >> 63)) % buckets


def xxhash() -> Any:
    """The package xxhash.

    Raises:
        ConfigError: where it is not installed.
    """
    return extras.library(
        "xxhash",
        "a listener's bucket is found by the package xxhash; install it: pip install 'trackpools[serve]'",
    )
