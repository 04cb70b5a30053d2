"""Switch off what must not be served, at once and for every reader; and what every reader asks before it serves."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.config import Config
from trackpools.core import switches
from trackpools.core.audience import audience
from trackpools.core.channels import PROD, follows_canary
from trackpools.core.switches import ALL, Off
from trackpools.errors import ConfigError
from trackpools.shell.command import Answer, Options
from trackpools.shell.existing import existing_store
from trackpools.shell.releases import Release, canary, released
from trackpools.shell.rows import frame_of
from trackpools.shell.store import Store
from trackpools.tables import TRACKS
from trackpools.tables_serving import SWITCHES


def switched_off(store: Store) -> Off:
    """What is off now."""
    if not store.exists(SWITCHES.name):
        return Off()
    return Off(
        frozenset(
            (row["kind"], row["value"])
            for row in store.read(SWITCHES.name).where("off").select("kind", "value").collect()
        )
    )


def served_pools(store: Store, release: Release, config: Config) -> DataFrame:
    """The pools of a release as they may be served now: all of them where nothing is off.

    Raises:
        StoppedError: where everything is off, or the release's model.
    """
    off, pools = switched_off(store), released(store, release, "pools")
    off.require_on(release.model_version)
    bird = canary(store) if release.channel == PROD else None
    # one of another dictionary would be decoded wrongly, and one whose model is off is off
    if (
        bird is not None
        and bird.share
        and bird.dictionary == release.dictionary
        and ("model", bird.model_version) not in off.pairs
    ):
        follows = follows_canary(bird.share, config.pools.buckets)
        pools = pools.where(~follows).unionByName(
            released(store, bird, "pools").where(follows), allowMissingColumns=True
        )
    if not off.pairs:
        return pools
    ids, users, cards = (released(store, release, name) for name in ("user_ids", "users", "track_cards"))
    listeners = audience(ids, users, config.cards.market_groups, config.taste.minor_bands)
    gone = switches.withheld(cards if off.of_tracks else cards.limit(0), store.read(TRACKS.name), off)
    return switches.served(pools, listeners, gone, off, release.dictionary)


def switch(config: Config, options: Options, action: str, which: Sequence[str], why: str | None) -> Answer:
    """Switch something off or on, or list what is off. Takes no lock: a takedown waits for no run.

    Args:
        which: the kind, and then values.

    Raises:
        ConfigError: for an action or a kind that nobody knows, or values that do not fit.
    """
    if action not in {"off", "on", "list"}:
        raise ConfigError(f"switch knows off, on and list; got {action!r:.40}")
    if action == "list":
        return _listed(existing_store(config))
    kind, *values = which or ("",)
    wanted = [(kind, value) for value in values or ([ALL] if kind == "all" else [""])]
    for pair in wanted:
        switches.require_known(*pair)
    store = existing_store(config)
    now = datetime.now(UTC)
    rows = frame_of(
        store.spark,
        [{"kind": of, "value": value, "off": action == "off", "why": why, "at": now} for of, value in wanted],
        SWITCHES.schema,
    )
    changed = store.upsert(SWITCHES, rows, {"stage": "switch"})
    said = f"{action}: {', '.join(' '.join(pair) for pair in wanted)} → {store.where(SWITCHES.name)}; readers follow within 30 s"
    root = options.root or "…"
    odd = [pair for pair in wanted if action == "off" and not _is_known(store, *pair)]
    nobody = [
        f"the catalogue knows no {of} {value!r}: is it spelt right? The switch holds, should one come"
        for of, value in odd
    ]
    more = {"switched": [" ".join(pair) for pair in wanted], "changed": changed}
    return Answer(warnings=nobody, lines=[said, f"next: trackpools switch list --root {root}"], more=more)


def _is_known(store: Store, kind: str, value: str) -> bool:
    """Whether a switch of tracks means any; of other kinds it is not asked."""
    if kind not in {"track", "artist", "label"} or not store.exists(TRACKS.name):
        return True
    tracks = store.read(TRACKS.name)
    if kind == "artist":
        meant = F.array_contains("artist_ids", value) | F.array_contains("artist_names", value)
    else:
        column = "track_id" if kind == "track" else kind
        meant = F.col(column) == value if column in tracks.columns else F.lit(False)
    return not tracks.where(meant).isEmpty()


def _listed(store: Store) -> Answer:
    from rich.table import Table
    from rich.text import Text

    rows = (
        store.read(SWITCHES.name).where("off").orderBy(F.desc("at"), "kind", "value").collect()
        if store.exists(SWITCHES.name)
        else []
    )
    grid = Table("kind", "value", "since", "why")
    for row in rows:
        grid.add_row(
            row["kind"],
            Text(row["value"][:80]),
            f"{row['at'].astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            Text((row["why"] or "")[:200]),
        )
    told = [
        {
            "kind": row["kind"],
            "value": row["value"],
            "at": row["at"].astimezone(UTC).isoformat(),
            "why": row["why"],
        }
        for row in rows
    ]
    return Answer(lines=[grid] if rows else ["nothing is switched off"], more={"off": told})
