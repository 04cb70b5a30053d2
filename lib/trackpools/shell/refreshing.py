"""`trackpools refresh`: the pools of the listeners concerned, made again beside the release in force; the cost follows the change."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from trackpools import stages as s
from trackpools import tables as t
from trackpools.core import cards, features
from trackpools.core.als import plan
from trackpools.core.als.foldin import signed
from trackpools.core.checks import pool_promises
from trackpools.core.concerned import concerned, expired, holders, later_than, reprofiled, turn, unknown_share
from trackpools.core.on_demand import Release as Arrays
from trackpools.errors import ModelError
from trackpools.shell import additive, ahead, few, identity, overlays, releases, writing
from trackpools.shell.additive import Change
from trackpools.shell.commits import Stats
from trackpools.shell.engines import fold_in_users
from trackpools.shell.flow import PINNED, Flow
from trackpools.shell.kept import kept
from trackpools.shell.releases import Release, new_release_id, view
from trackpools.stage import Context
from trackpools.table import Table

INPUTS = (t.PLAYS, t.SIGNALS, t.TRACKS, t.USERS)
NOW = (
    t.USER_IDS,
    t.RECORDING_IDS,
    t.TRACKS,
    t.USERS,
    t.PLAYS_DAILY,
    t.INTERACTIONS,
)  # as they are; all else is read as the release pins it
UNPINNED = {
    t.PLAYS_DAILY.name,
    t.POOLS.name,
    *(table.name for table in t.OVERLAYS.values()),
}  # not read by pools, or written with them


@dataclass
class Refresh:
    """One refresh of a release: what it reads and what it found.

    Attributes:
        folded: version of `interactions` before anything was folded.
        versions: of what is read.
        why: reason → listeners.
        arrays: of recordings, where they are read; see `few`.
    """

    flow: Flow
    base: Release
    number: int
    run_key: str
    folded: int
    versions: dict[str, int]
    why: dict[str, int] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    arrays: Future[Arrays] | None = None

    @property
    def turn(self) -> list[int]:
        """The buckets of the base that it rewrites."""
        return turn(self.number, self.flow.config.pools.buckets, self.flow.config.refresh.rota)

    def moved(self, table: Table) -> bool:
        """Whether what is read of it is not what the release pins."""
        return not self.base.holds(table.name) or self.base.version(table.name) != self.versions[table.name]

    @property
    def made(self) -> dict[str, Any]:
        """What its commits say of it."""
        read = {name: version for name, version in self.versions.items() if name not in UNPINNED}
        return writing.work(overlays.STAGE, self.run_key, read, self.flow.config, self.flow.moment) | {
            "refresh": self.number
        }


def key_of(flow: Flow) -> str:
    """Identity of a refresh: inputs, configuration, code and when; the same work is not done twice."""
    versions, moment = flow.pin(INPUTS), flow.moment
    sections = tuple(sorted({section for stage in s.STAGES for section in stage.sections} | {"refresh"}))
    return identity.run_key(
        "refresh", identity.sections_hash(flow.config, sections), versions, moment.as_of, moment.known_as_of
    )


def require_same_recipe(flow: Flow, base: Release) -> None:
    """Refuse settings that the release was not made with: the listeners not concerned would keep pools of another blend.

    Raises:
        ModelError: with what to do.
    """
    if flow.recipe(base) != identity.sections_hash(flow.config, writing.RECIPE):
        named = ", ".join(writing.RECIPE)
        raise ModelError(
            f"release {base.seq} was made with other settings ({named}): a refresh would mix two; run `trackpools run`, or set them as they were"
        )


def begin(flow: Flow, base: Release, run_key: str) -> Refresh:
    """Number it, and start from what the release pins; before the stages that fold what came."""
    if overlays.start_from(flow.store, base):
        flow.notes.warnings.append(
            "what was waiting for `promote` is no longer the latest (pools); run `trackpools pools` before you promote"
        )
    pinned = {table.name: table.version for table in base.tables}
    # a release of an older trackpools does not hold all
    versions = (
        flow.pin([table for table in PINNED if table.name not in pinned])
        | pinned
        | flow.pin((t.TRACK_CARDS,))
    )
    folded = flow.store.commit(t.INTERACTIONS.name).version
    return Refresh(flow, base, overlays.next_number(flow.store, base), run_key, folded, versions)


def renew(r: Refresh) -> Release:
    """Cards, listeners concerned, their factors and pools; written, checked and told as the tables of a release."""
    flow, store = r.flow, r.flow.store
    r.versions |= flow.pin(NOW)
    with contextlib.ExitStack() as held, ThreadPoolExecutor(2) as beside:

        def keep(frame: DataFrame) -> DataFrame:
            return held.enter_context(kept(frame))

        flow.progress("concerned: find the listeners whose pool must change")
        worse = _cards(r, keep)
        read = {name: store.read(name, version) for name, version in r.versions.items()}
        r.arrays = few.ahead(beside, read, flow.config, flow.moment.as_of, r.base.rows)
        ahead.prepare(beside, read, joins=r.arrays is None)
        came = beside.submit(_came, r, dict(r.versions))
        why = keep(concerned(_found(r, read, worse)))
        r.why = {row["reason"]: int(row["count"]) for row in why.groupBy("reason").count().collect()}
        users = keep(why.select("user_idx").distinct())
        r.measured["concerned"] = users.count()  # now, so that what joins it knows how few they are
        flow.progress(f"pools: fold in and fill {int(r.measured['concerned']):,} listeners")
        pools, factors, unknown = _made(r, read, users, keep, beside)
        written = _written(r, pools, factors, users)
        r.measured["unknown_share"] = unknown.result()
        return _release(r, [*came.result(), *written])


def _cards(r: Refresh, keep: Callable[[DataFrame], DataFrame]) -> DataFrame | None:
    """Bring up to date what may be played; `recording_idx` of what no longer may, None where all of it still may."""
    store, moment = r.flow.store, r.flow.moment
    tracks = store.read(t.TRACKS.name, r.versions[t.TRACKS.name])
    if (
        not r.moved(t.TRACKS)
        and features.rights_turning(tracks, r.base.as_of.date(), moment.as_of.date()).isEmpty()
    ):
        return None  # recordings × markets are many
    pinned = store.read(t.TRACK_CARDS.name, r.versions[t.TRACK_CARDS.name])
    other = keep(
        cards.played_now(pinned, tracks, as_of=moment.as_of, groups=r.flow.config.cards.market_groups)
    )
    told = other.agg(F.count(F.lit(1)).alias("all"), F.count_if("worse").alias("worse")).first()
    if told is not None and told["all"]:
        store.upsert(t.TRACK_CARDS, other.drop("worse"), r.made)
        r.versions |= r.flow.pin((t.TRACK_CARDS,))
    return (
        other.where("worse").select("recording_idx").distinct()
        if told is not None and told["worse"]
        else None
    )


def _found(r: Refresh, read: Mapping[str, DataFrame], worse: DataFrame | None) -> dict[str, DataFrame]:
    store, base, name = r.flow.store, r.base, t.INTERACTIONS.name
    feed = store.changes(name, r.folded, r.versions[name])
    pools, ids = view(store, base, t.POOLS.name), read["user_ids"]
    found = {
        "changed": ids if feed is None else feed,
        "new": later_than(ids, base.rows(t.USER_IDS.name)),
        "expired": expired(pools, r.flow.moment.as_of),
    }
    if r.moved(t.USERS):
        found["profile"] = reprofiled(
            store.read(t.USERS.name, base.version(t.USERS.name)), read["users"], ids
        )
    if worse is not None:
        found["withdrawn"] = holders(pools, worse)
    return found


def _made(
    r: Refresh,
    read: dict[str, DataFrame],
    users: DataFrame,
    keep: Callable[[DataFrame], DataFrame],
    beside: Executor,
) -> tuple[DataFrame, DataFrame, Future[float]]:
    """Pools and factors of the listeners, as a full run would make them with the model in force; and how much of what they like it does not know."""
    flow, config, moment = r.flow, r.flow.config, r.flow.moment
    met, days, ids = (
        read[name].join(users, "user_idx", "left_semi")
        for name in ("interactions", "plays_daily", "user_ids")
    )
    ids = keep(ids)
    some = read | {
        "interactions": keep(met),
        "user_ids": ids,
        "users": keep(read["users"].join(ids, "user_id", "left_semi")),
    }
    model = read["user_factors"].select("model_version", "id_version").limit(1)
    c = Context(
        config,
        moment.as_of,
        moment.known_as_of,
        None,
        r.versions,
        r.run_key,
        r.base.model_version,
        {name: r.base.rows(name) for name in ("recording_factors", "recording_vectors")},
        flow.notes,
        keep,
        few=int(r.measured["concerned"]),
    )
    training = s.training_set(some, c)
    recordings, count = read["recording_factors"].select("idx", "factors"), r.base.rows("recording_factors")
    striped = plan.is_striped(count, config.train.rank, config.train)
    factors = keep(fold_in_users(signed(training, config.train), recordings, config.train, striped=striped))
    unknown = beside.submit(_unknown, training, recordings)
    known = features.facts(read["tracks"], read["recording_ids"])
    like = keep(
        features.user_features(some["interactions"], days, known, read["not_taste"], c.as_of)
    )  # which every source asks for who listens
    some |= {"user_factors": factors, "user_features": like}
    return keep(few.pools(some, c, r.arrays)), factors.crossJoin(F.broadcast(model)), unknown


def _unknown(training: DataFrame, recordings: DataFrame) -> float:
    share = unknown_share(training, recordings).first()
    return float(share["unknown"] or 0.0) if share else 0.0


def _written(r: Refresh, pools: DataFrame, factors: DataFrame, users: DataFrame) -> list[Stats]:
    """Write them, and into the buckets whose turn it is what the overlay had of those; what the tables are then.

    Raises:
        ContractError: for pools that break a promise, as they were written.
    """
    r.flow.progress("write: buckets whose turn it is, and the overlay")
    number = F.lit(r.number)
    own, mine = F.col("bucket").isin(r.turn), F.col("refresh") == number
    folded = (
        view(r.flow.store, r.base, t.POOLS.name)
        .where(own)
        .join(F.broadcast(users), "user_idx", "left_anti")
        .unionByName(pools.where(own))
    )
    parts = (
        (t.POOLS, folded.repartition("bucket"), own, own),
        (t.POOLS_HOT, pools.where(~own).withColumn("refresh", number).repartition("bucket"), own, mine),
        (t.USER_FACTORS_HOT, factors.withColumn("refresh", number), None, mine),
    )
    promises = dict.fromkeys((t.POOLS.name, t.POOLS_HOT.name), pool_promises(r.flow.config.pools.k))

    def put(part: tuple[Table, DataFrame, Column | None, Column]) -> tuple[Change, list[Stats]]:
        change = _replaced(r, *part)
        return change, additive.after([change], promises)

    with ThreadPoolExecutor(
        len(parts)
    ) as threads:  # what is written first is read back while the others are being written
        told = list(threads.map(put, parts))
    new = [r.flow.store.commit(change.before.name) for change, _ in told if change.came is not None]
    r.measured["bytes_written"] = sum(float(commit.counted.get("numOutputBytes", 0)) for commit in new)
    return [one for _, stats in told for one in stats]


def _replaced(r: Refresh, table: Table, rows: DataFrame, gone: Column | None, came: Column) -> Change:
    """Put rows in the place of those that satisfy `gone` (None: of none); what came satisfies `came`."""
    store, name = r.flow.store, table.name
    before = store.commit(name).version
    was = next((one for one in r.base.tables if one.name == name), Stats(name, before, 0, "0:0"))
    hot = table in t.OVERLAYS.values()
    store.replace_buckets(
        table, rows, r.turn if table.partitioned_by else (), r.made, r.number if hot else None
    )
    commit = store.commit(name)
    r.versions[name] = commit.version
    if commit.version == before:
        return Change(was, before)
    lost = store.read(name, before).where(gone) if gone is not None and was.rows else None
    return Change(was, commit.version, lost, store.read(name, commit.version).where(came))


def _came(r: Refresh, versions: Mapping[str, int]) -> list[Stats]:
    """Rows and hashes of what a refresh reads and the release does not pin as it is: what came since."""
    store, tables = r.flow.store, {table.name: table for table in r.base.tables}
    folded = additive.by_feed(
        store, replace(tables[t.INTERACTIONS.name], version=r.folded), versions[t.INTERACTIONS.name]
    )
    changes = [] if folded is None else [folded]
    told = UNPINNED | {change.before.name for change in changes}
    other = {
        name: version
        for name, version in versions.items()
        if name not in told and (name not in tables or tables[name].version != version)
    }
    return [*additive.after(changes), *store.stats_of(other)]


def _release(r: Refresh, moved: Sequence[Stats]) -> Release:
    """The next release: what moved, and all else as it is pinned."""
    base, flow, now = r.base, r.flow, datetime.now(UTC)
    tables = {table.name: table for table in (*base.tables, *moved)}
    return Release(
        seq=releases.releases(flow.store)[0].seq + 1,
        release_id=new_release_id(now, r.run_key),
        run_key=r.run_key,
        tables=tuple(tables.values()),
        model_version=base.model_version,
        mlflow_run_id=flow.tracker.run_id,
        dictionary=base.dictionary,
        as_of=flow.moment.as_of,
        created_at=now,
        valid_until=now + timedelta(days=flow.config.pools.valid_days),
    )
