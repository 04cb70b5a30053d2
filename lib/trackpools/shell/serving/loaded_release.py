"""Hold a release in memory, without a JVM, to answer a request for one user in milliseconds.

delta-rs reads the tables of the release at their pinned versions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from types import ModuleType
from typing import Any

import pyarrow.compute as pc

from trackpools import optional_packages
from trackpools.config import Config
from trackpools.core.als.factors import factor_matrix
from trackpools.core.log.audience import EVERYWHERE, is_minor_band
from trackpools.core.pools.online import OnlineUser
from trackpools.core.pools.user_history import RecentPlay, UserHistory
from trackpools.core.proposals.release_arrays import ReleaseArrays
from trackpools.core.proposals.release_layout import CARDS
from trackpools.core.serving import user_record
from trackpools.core.serving.channels import PROD
from trackpools.core.serving.takedowns import Takedowns
from trackpools.core.serving.user_record import UserRecord
from trackpools.errors import InputError
from trackpools.shell.arrays.written_arrays import arrays, arrays_folder
from trackpools.shell.serving.switch_watch import TakedownWatch, library, markets, without_sources
from trackpools.shell.store import data_files
from trackpools.tables import OVERLAYS


@dataclass(frozen=True)
class LoadedRelease:
    """One release of a store, read without Spark; the arrays of its recordings are read at first use.

    Attributes:
        root: the folder or URL of the store.
        seq: the number of the release.
        versions: name of the table → pinned version.
        as_of: only plays before this moment count, UTC.
        created_at: when the release was published, UTC.
        release_id: the id of the release.
        model_version: the version of its model.
        config: the configuration of the reader.
        watch: the takedowns in force under the root.
        dictionary: the release's dictionary of codes, for decoding reasons.
        note: a remark on where the data is read from; empty if there is nothing to say.
        files: name of the table → identity of its data files, see `data_files`; empty if an older version of
            trackpools, which did not record it, published the release.
        arrays: name of the table → folder of its arrays, see `shell.arrays`; empty if the release has none.
        served: the cache of `release`: takedowns → the arrays with these takedowns applied. It holds at most
            one entry, and is emptied when the takedowns change.
    """

    root: str
    seq: int
    versions: Mapping[str, int]
    as_of: datetime
    created_at: datetime
    release_id: str
    model_version: str
    config: Config
    watch: TakedownWatch
    dictionary: Mapping[str, str]
    note: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, str] = field(default_factory=dict)
    served: dict[Takedowns, ReleaseArrays] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where users and catalogue are read from, in words."""
        return "the tables"

    @staticmethod
    def of(config: Config, seq: int | None = None) -> "LoadedRelease":
        """Open one release of the store that `config` names.

        Args:
            config: the configuration; `store.root` is the root of the store.
            seq: the number of the release; None opens the release in force, the latest of channel `prod`.

        Raises:
            InputError: if there is no such release.
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
                f"there is no release {seq or 'on the channel prod'} under {root}; the releases are: {', '.join(map(str, sorted(known))) or 'none'}"
            )
        versions = {table["name"]: table["version"] for table in row["tables"]}
        return LoadedRelease(
            root,
            row["seq"],
            versions,
            row["as_of"].astimezone(UTC),
            row["created_at"].astimezone(UTC),
            row["release_id"],
            row["model_version"],
            config,
            TakedownWatch(root),
            dict(row["dictionary"]),
            files=dict(row.get("files") or ()),
            arrays=dict(row.get("arrays") or ()),
        )

    def data(self, name: str) -> Any:
        """Open a table at its pinned version, as a pyarrow dataset.

        Raises:
            ContractError: if its data files are not those that the release pins. This check reads no data:
                it only goes through the list of files, which delta-rs holds in memory once the table is open.
            InputError: if the table's log no longer has that version, or cannot be parsed.
        """
        delta, version = library(), self.versions[name]
        try:
            table = delta.DeltaTable(f"{self.root}/tables/{name}", version=version)
        except delta.exceptions.DeltaError as error:
            said = str(error).partition("\n")[0]
            raise InputError(
                f"table {name} of release {self.seq} cannot be read at version {version}: {said:.200}. {data_files.WAY_OUT}"
            ) from error
        if name in self.files:
            data_files.require_same(
                name, version, self.seq, self.files[name], data_files.identity(table.file_uris())
            )
        return table.to_pyarrow_dataset()

    @property
    def release(self) -> ReleaseArrays:
        """The arrays of the release as they may be served now, without what is taken down.

        They are mapped into memory once, or built if the release has no arrays, which takes some seconds for
        each million recordings. When the takedowns change,
        only the market masks (from `track_cards`) and the list of enabled sources are computed again.

        Raises:
            StoppedError: if everything or the model of this release is switched off.
        """
        off = self.watch.off()
        off.raise_if_stopped(self.model_version)
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
    def _whole(self) -> ReleaseArrays:
        return arrays(self._columns, self.config, self.as_of, arrays_folder(self.root), self.arrays)

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
        """Read the rows of a user from a table, as an Arrow table.

        If the table has an overlay with rows of the user, only the overlay's row of the latest refresh is
        returned.

        Args:
            name: the table.
            key: the column that holds the user's idx.
            idx: the user's idx.
            columns: the columns to return.
            within: a further condition on the rows of the table and its overlay, or None.
        """
        people, hot = self._people, OVERLAYS[name].name if name in OVERLAYS else ""
        mine = pc.field(key) == idx if within is None else (pc.field(key) == idx) & within
        if hot in people:
            rows = people[hot].to_table(filter=mine, columns=[*columns, "refresh"])
            if len(rows):
                return rows.sort_by([("refresh", "descending")]).slice(0, 1).select(columns)
        return people[name].to_table(filter=mine, columns=columns)

    def _pool(self, idx: int) -> dict[str, Any] | None:
        """Read the user's row of `pools`, or return None if there is none.

        The user's bucket is searched first, then the whole table: the release may have been built with
        another number of buckets than the configuration has now.
        """
        rows = self._newest(
            "pools",
            "user_idx",
            idx,
            list(user_record.POOL),
            within=pc.field("bucket") == bucket(idx, self.config.pools.buckets),
        )
        return next(
            iter(
                (
                    rows if len(rows) else self._newest("pools", "user_idx", idx, list(user_record.POOL))
                ).to_pylist()
            ),
            None,
        )

    def user_record(self, user_id: str, *, pool: bool = False) -> UserRecord:
        """Read what the release knows of a user: profile, interactions, vectors and the pool.

        Args:
            user_id: the raw id of the user.
            pool: whether to read the row of `pools` too.

        Raises:
            InputError: if the release has no such user.
        """
        people = self._people
        found = people["user_ids"].to_table(filter=pc.field("user_id") == user_id)["user_idx"].to_pylist()
        if not found:
            raise InputError(
                f"release {self.release_id} has no such user; check the user id", [user_id[:200]]
            )
        (idx,) = found
        profile = (
            people["users"]
            .to_table(filter=pc.field("user_id") == user_id, columns=list(user_record.PROFILE))
            .to_pylist()
        )
        vectors = {
            name: self._newest(name, "idx", idx, ["factors"])["factors"]
            for name in user_record.VECTORS
            if name in people
        }
        return UserRecord(
            idx,
            profile[0] if profile else {},
            people["interactions"].to_table(
                filter=pc.field("user_idx") == idx, columns=list(user_record.PAST)
            ),
            {name: factor_matrix(rows)[0] for name, rows in vectors.items() if len(rows)},
            self._pool(idx) if pool else None,
        )

    def online_user(self, user_id: str, events: tuple[RecentPlay, ...] = ()) -> OnlineUser:
        """Read a user in the form that sources and rules need.

        Args:
            user_id: the raw id of the user.
            events: recent plays that no table has yet.

        Raises:
            InputError: if the release has no such user.
            StoppedError: if everything, the model of the release or the user's market is switched off.
        """
        return self.online_user_of(self.user_record(user_id), events)

    person = online_user  # its name in trackpools 0.1; delete it in 0.3

    def online_user_of(self, one: UserRecord, events: tuple[RecentPlay, ...] = ()) -> OnlineUser:
        """Convert a user record to the form that sources and rules need; see `online_user`.

        Raises:
            StoppedError: if everything, the model of the release or the user's market is switched off.
        """
        told_market = str(one.profile.get("market") or EVERYWHERE)
        market = self.config.cards.market_groups.get(told_market, told_market)
        self.watch.off().raise_if_stopped(self.model_version, market)
        clean = one.profile.get("explicit_policy") == "clean" or is_minor_band(
            one.profile.get("birth_band"), self.config.taste.minor_bands
        )
        return OnlineUser(
            idx=one.idx,
            market=market,
            clean=clean,
            declared=tuple(one.profile.get("declared_tags") or ()),
            history=UserHistory.of(one.interactions, self.config, self.as_of, events),
            vectors=one.vectors,
        )


def bucket(user_idx: int, buckets: int) -> int:
    """Return the bucket of one user, as `core.pools.batch.bucket_of` computes it in Spark.

    Spark's xxhash64 of an int hashes its 4 bytes with seed 42 and reads the result as a signed number.
    """
    hashed = xxhash().xxh64_intdigest(user_idx.to_bytes(4, "little", signed=True), 42)
    return int(hashed - (1 << 64) * (hashed >> 63)) % buckets


def xxhash() -> ModuleType:
    """Import the package xxhash.

    Raises:
        ConfigError: if it is not installed.
    """
    return optional_packages.import_optional(
        "xxhash",
        "the package xxhash, which computes the bucket of a user, is missing; install it: pip install 'trackpools[serve]'",
    )
