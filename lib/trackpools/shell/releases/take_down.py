"""Switch off what must not be served, for every reader, and apply these takedowns to pools.

Every reader reads what is off before it serves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core.log.audience import audience
from trackpools.core.serving import takedowns
from trackpools.core.serving.channels import PROD, follows_canary
from trackpools.core.serving.takedowns import ALL, Takedowns
from trackpools.errors import ConfigError, ContractError
from trackpools.shell.command import CommandResult, Options, TextTable, printable
from trackpools.shell.releases.releases import Release, canary, read_pinned
from trackpools.shell.releases.switch_state import NEVER, Latest, Record, known_off, state
from trackpools.shell.spark.driver_rows import frame_of
from trackpools.shell.store.open_existing import existing_store
from trackpools.shell.store.store import Store
from trackpools.tables import SWITCH_RECORDS, SWITCHES, TRACKS


@dataclass(frozen=True)
class StoreTables:
    """Access to `switches` and `switch_records` through Spark; implements `switch_state.Tables`.

    Attributes:
        store: A store that has not read either table yet, so that nothing is cached.
    """

    store: Store

    @property
    def where(self) -> str:
        """Path or name of `switches`."""
        return self.store.where(SWITCHES.name)

    def record(self) -> Record | None:
        """Return the record with the greatest version, or None if there is none."""
        if not self.store.exists(SWITCH_RECORDS.name):
            return None
        row = (
            self.store.read(SWITCH_RECORDS.name)
            .orderBy(F.desc("version"))
            .select("version", "digest")
            .first()
        )
        return None if row is None else Record(row["version"], row["digest"])

    def latest(self) -> Latest | None:
        """Return the latest commit of `switches`, or None if the table does not exist."""
        if not self.store.exists(SWITCHES.name):
            return None
        commit = self.store.commit(SWITCHES.name)
        return Latest(commit.version, told=bool(commit.operation))

    def off(self, version: int) -> Takedowns:
        """Return what is off at a version of `switches`."""
        rows = self.store.read(SWITCHES.name, version).where("off").select("kind", "value").collect()
        return Takedowns(frozenset((row["kind"], row["value"]) for row in rows))


def _uncached(store: Store) -> StoreTables:
    """Return access to the present tables, without what the store has cached."""
    return StoreTables(Store(store.spark, store.config))


def read_takedowns(store: Store) -> Takedowns:
    """Return what is off now.

    Raises:
        ContractError: If the tables cannot be trusted and this process knows no earlier state.
    """
    return known_off(_uncached(store))


def served_pools(store: Store, release: Release, config: Config) -> DataFrame:
    """Return the pools of a release as they may be served now.

    If the release is of the channel `prod` and a canary is followed, users in the buckets of the canary get
    the pools of the canary, provided that it has the same dictionary and that its model is not off.

    Returns:
        A frame with the columns of `pools`. If nothing is off, no row is changed or left out.

    Raises:
        StoppedError: If everything is off, or the model of the release is off.
        ContractError: If it is not known what is off.
    """
    off, pools = read_takedowns(store), read_pinned(store, release, "pools")
    off.raise_if_stopped(release.model_version)
    bird = canary(store) if release.channel == PROD else None
    # this dictionary would decode pools of another one wrongly, and a model that is off must not be served
    if (
        bird is not None
        and bird.share
        and bird.dictionary == release.dictionary
        and ("model", bird.model_version) not in off.pairs
    ):
        follows = follows_canary(bird.share, config.pools.buckets)
        pools = pools.where(~follows).unionByName(
            read_pinned(store, bird, "pools").where(follows), allowMissingColumns=True
        )
    if not off.pairs:
        return pools
    ids, users, cards = (read_pinned(store, release, name) for name in ("user_ids", "users", "track_cards"))
    listeners = audience(ids, users, config.cards.market_groups, config.taste.minor_bands)
    gone = takedowns.withheld_recordings(
        cards if off.has_tracks else cards.limit(0), store.read(TRACKS.name), off
    )
    return takedowns.apply_takedowns(pools, listeners, gone, off, release.dictionary)


def switch(
    config: Config, options: Options, action: str, which: Sequence[str], why: str | None
) -> CommandResult:
    """Switch something off or on, or list what is off.

    No lock is used, so a takedown does not wait for a run.

    Args:
        config: The merged configuration.
        options: Options of the command line.
        action: `off`, `on` or `list`.
        which: The kind, such as `track`, followed by the values to switch; for `all`, the kind alone.
        why: The reason, which is stored and listed.

    Raises:
        ConfigError: If the action or the kind is unknown, or the values do not fit the kind.
        ContractError: If the table `switches` is damaged, so that the switch was not written, or was written
            but not recorded in `switch_records`, or the list cannot be read.
    """
    if action not in {"off", "on", "list"}:
        raise ConfigError(f"the action of `trackpools switch` must be off, on or list; got {action!r:.40}")
    if action == "list":
        return _listed(existing_store(config))
    kind, *values = which or ("",)
    wanted = [(kind, value) for value in values or ([ALL] if kind == "all" else [""])]
    for pair in wanted:
        takedowns.require_known(*pair)
    store = existing_store(config)
    now = datetime.now(UTC)
    rows = frame_of(
        store.spark,
        [{"kind": of, "value": value, "off": action == "off", "why": why, "at": now} for of, value in wanted],
        SWITCHES.schema,
    )
    changed = _written(store, rows)
    _record(store, now)
    said = f"switched {action}: {', '.join(' '.join(pair) for pair in wanted)} → {store.where(SWITCHES.name)}; readers follow within 30 s"
    root = options.root or "…"
    odd = [pair for pair in wanted if action == "off" and not _is_known(store, *pair)]
    nobody = [
        f"the catalogue has no {of} {value!r}: check the spelling. The switch is stored, and applies if such an id arrives later"
        for of, value in odd
    ]
    more = {"switched": [" ".join(pair) for pair in wanted], "changed": changed}
    return CommandResult(
        warnings=nobody, lines=[said, f"next: trackpools switch list --root {root}"], more=more
    )


def _written(store: Store, rows: DataFrame) -> int:
    """Commit rows to `switches`; return the number of new or changed rows."""
    try:
        return store.upsert(SWITCHES, rows, {"stage": "switch"})
    except Exception as error:
        problem = state(_uncached(store)).problem
        if not problem:
            raise
        raise ContractError(f"the switch was not written: {problem}") from error


def _record(store: Store, now: datetime) -> None:
    """Record what is off after a switch, so that readers notice if the table loses it later.

    Raises:
        ContractError: If the table lost something that was recorded before; a new record would hide the loss.
    """
    found = state(_uncached(store))
    if found.problem:
        raise ContractError(
            f"the switch is written, but readers that start now serve no user: {found.problem}"
        )
    row = {"version": found.version, "digest": found.off.digest, "at": now}
    store.insert(SWITCH_RECORDS, frame_of(store.spark, [row], SWITCH_RECORDS.schema), {"stage": "switch"})


def _is_known(store: Store, kind: str, value: str) -> bool:
    """Return whether the catalogue has a track with this track id, artist or label; True for other kinds."""
    if kind not in {"track", "artist", "label"} or not store.exists(TRACKS.name):
        return True
    tracks = store.read(TRACKS.name)
    if kind == "artist":
        meant = F.array_contains("artist_ids", value) | F.array_contains("artist_names", value)
    else:
        column = "track_id" if kind == "track" else kind
        meant = F.col(column) == value if column in tracks.columns else F.lit(False)
    return not tracks.where(meant).isEmpty()


def _listed(store: Store) -> CommandResult:
    found = state(_uncached(store))
    if found.problem and found.version == NEVER:
        raise ContractError(f"the list of switches cannot be read: {found.problem}")
    rows = []
    if found.version != NEVER:
        rows = (
            store.read(SWITCHES.name, found.version)
            .where("off")
            .orderBy(F.desc("at"), "kind", "value")
            .collect()
        )
    cells = [
        (
            row["kind"],
            printable(row["value"], 80),
            f"{row['at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            printable(row["why"] or "", 200),
        )
        for row in rows
    ]
    grid = TextTable(("kind", "value", "since", "why"), cells)
    told = [
        {
            "kind": row["kind"],
            "value": row["value"],
            "at": row["at"].astimezone(UTC).isoformat(),
            "why": row["why"],
        }
        for row in rows
    ]
    warnings = [f"readers that start now serve no user: {found.problem}"] if found.problem else []
    return CommandResult(
        warnings=warnings, lines=[grid] if rows else ["nothing is switched off"], more={"off": told}
    )
