"""Answers of the commands that look: the map, releases, pools, one pool explained, the machine."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table as Grid

from trackpools.config import Config
from trackpools.core.channels import PROD
from trackpools.errors import ConfigError
from trackpools.shell import look
from trackpools.shell import releases as r
from trackpools.shell.command import Answer
from trackpools.shell.existing import existing_store
from trackpools.shell.explaining import Explained
from trackpools.shell.lock import writer_lock
from trackpools.tables import TABLES


def the_map() -> Answer:
    """Every table, printed."""
    grids: list[Any] = []
    for table in TABLES.values():
        title = f"{table.name}: {table.grain}; key {', '.join(table.key)}; written by {table.mode}"
        grid = Grid(title=title, title_justify="left", show_header=False, box=None)
        for column in table.columns:
            kind = column.dataType.simpleString()
            grid.add_row(
                f"  {column.name}", kind if len(kind) < 50 else kind[:47] + "…", column.metadata["comment"]
            )
        grids.append(grid)
    more = {
        name: {
            "grain": table.grain,
            "key": table.key,
            "mode": table.mode,
            "columns": [c.jsonValue() for c in table.columns],
        }
        for name, table in TABLES.items()
    }
    return Answer(lines=grids, more={"map": more})


def known_releases(config: Config) -> Answer:
    """Every release, latest first."""
    known = r.releases(existing_store(config))
    grid = Grid("seq", "channel", "release", "as of", "published", "valid until", "pools", "model")
    for one in known:
        pools = next((f"{table.rows:,}" for table in one.tables if table.name == "pools"), "–")
        stale = " (stale)" if one.valid_until < datetime.now(UTC) else ""
        times = (f"{at:%Y-%m-%d %H:%M}" for at in (one.as_of, one.created_at))
        channel = one.channel + ("" if one.share is None else f" {one.share:.0%}")
        grid.add_row(
            str(one.seq),
            channel,
            one.release_id,
            *times,
            f"{one.valid_until:%Y-%m-%d}{stale}",
            pools,
            one.model_version,
        )
    return Answer(
        release_id=next((one.release_id for one in known if one.channel == PROD), None),
        lines=[grid] if known else ["nothing is published yet; next: trackpools run"],
        more={"releases": [asdict(one) for one in known]},
    )


def pools(config: Config, what: str, users: tuple[str, ...], limit: int, as_json: bool) -> Answer:
    """Decoded pools of the release in force."""
    if what != "pools":
        raise ConfigError(f"show knows pools; got {what!r:.40}. For the map of tables: trackpools tables")
    store = existing_store(config)
    release = r.latest(store)
    shown = look.show_pools(store, release, config, users, limit)
    if as_json:
        return Answer(release.release_id, lines=[json.dumps(one, ensure_ascii=False) for one in shown])
    return Answer(release.release_id, lines=[line for one in shown for line in (_head(one), _grid(one, 10))])


def explain(config: Config, user: str, limit: int) -> Answer:
    """One user's pool and what the rules removed."""
    store = existing_store(config)
    release = r.latest(store)
    pool = look.show_pools(store, release, config, (user,), 1)[0]
    about, explained = look.profile_of(store, release, user), Explained(store, release, config, user)
    facets, because = explained.by_facet(), explained.because()
    lines: list[Any] = [
        f"release {release.seq} ({release.release_id}), as of {release.as_of:%Y-%m-%d %H:%M} UTC",
        _head(pool),
    ]
    if about:
        taste = about["profile"]
        lines.append(
            f"listener: {about['plays']:,} plays of {about['recordings']:,} recordings ({about['plays_28d']:,} in 28 days); "
            f"artists {', '.join(taste['artists_life']) or 'unknown'}; tags {', '.join(taste['tags_life']) or 'unknown'}"
        )
    else:
        lines.append("listener: no plays; the pool is what the market plays")
    lines += [f"by {name}: {_shown(counts)}" for name, counts in facets.items()]
    lines.append(_grid(pool, limit, because))
    removed = ", ".join(f"{count:,} {rule}" for rule, count in pool["drops"].items()) or "nothing"
    lines.append(
        f"removed by the rules: {removed}; {pool['emitted']:,} emitted = {pool['k']:,} in the pool + {sum(pool['drops'].values()):,} removed"
    )
    return Answer(
        release.release_id,
        lines=lines,
        more={"pool": pool, "listener": about, "facets": facets, "because": because},
    )


def _head(pool: dict[str, Any]) -> str:
    short = pool["shortfall"]
    why = (
        f"; {short['wanted'] - short['got']:,} short of {short['wanted']:,}: {short['rule']}" if short else ""
    )
    return f"user {pool['user_id']}: {pool['k']:,} candidates{why}"


def _shown(counts: dict[str, int], most: int = 12) -> Any:
    rest = sum(list(counts.values())[most:])
    return plain(
        " · ".join(f"{name} {n:,}" for name, n in list(counts.items())[:most])
        + (f" · others {rest:,}" if rest else ""),
        200,
    )


def _grid(pool: dict[str, Any], limit: int, because: Sequence[str | None] = ()) -> Grid:
    grid = Grid("#", "title", "artists", "year", "sources", "heard", "reason")
    for i, one in enumerate(pool["candidates"][:limit]):
        reason = ", ".join(filter(None, [one["reason"], *because[i : i + 1]]))
        heard = (
            f"{one['plays']} × until {one['last_day']}"
            if one["plays"] and one["last_day"]
            else f"{one['plays']} ×"
            if one["plays"]
            else "new"
        )
        artists = ", ".join(one["artists"] or ())
        cells = (
            one["rank"],
            one["title"] or one["recording_id"],
            artists or "–",
            one["original_year"] or "–",
            "+".join(one["sources"]),
            heard,
            reason,
        )
        # titles are untrusted: no markup is read in them
        grid.add_row(*(plain(str(cell)) for cell in cells))
    if len(pool["candidates"]) > limit:
        grid.caption = f"{len(pool['candidates']) - limit:,} more: --json shows all"
    return grid


def plain(text: str, longest: int = 120) -> Any:
    """Text as it is, without markup and control characters, cut at so many."""
    from rich.text import Text

    return Text("".join(letter if letter.isprintable() else "·" for letter in text)[:longest])


def clean(config: Config, keep: int) -> Answer:
    """Files that no kept release needs, deleted."""
    with writer_lock(config.store.root):
        hours = r.vacuum(existing_store(config), keep, datetime.now(UTC))
    lines = [f"{name}: history of {kept:,.0f} hours kept" for name, kept in hours.items()]
    return Answer(lines=lines or ["nothing is published; nothing was deleted"], more={"hours": hours})


def roll_back(config: Config, seq: int) -> Answer:
    """An older release in force again."""
    with writer_lock(config.store.root):
        store = existing_store(config)
        release = r.rollback(store, seq, datetime.now(UTC))
    said = f"release {release.seq} ({release.release_id}) holds the tables of release {seq} again"
    after = "the next `trackpools run` or `refresh` publishes anew: mend first what was wrong. next: trackpools releases"
    return Answer(release.release_id, lines=[said, after])
