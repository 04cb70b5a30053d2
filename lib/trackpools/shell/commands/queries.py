"""The commands that show tables, releases and pools, and the commands `clean` and `rollback`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from trackpools.config import Config
from trackpools.core.serving.channels import PROD
from trackpools.shell.command import CommandResult, TextTable, printable
from trackpools.shell.releases import releases as r
from trackpools.shell.releases import show_pools
from trackpools.shell.releases.explain_pool import PoolExplanation
from trackpools.shell.store.open_existing import existing_store
from trackpools.shell.store.root_lock import writer_lock
from trackpools.tables import TABLES


def list_tables() -> CommandResult:
    """Show every table: its grain (what one row is), key, mode of writing and columns."""
    grids: list[str | TextTable] = []
    for table in TABLES.values():
        title = f"{table.name}: {table.grain}; key {', '.join(table.key)}; written by {table.mode}"
        kinds = (column.dataType.simpleString() for column in table.columns)
        rows = [
            (f"  {column.name}", kind if len(kind) < 50 else kind[:47] + "…", column.metadata["comment"])
            for column, kind in zip(table.columns, kinds, strict=True)
        ]
        grids.append(TextTable(("", "", ""), rows, title=title, border=False, headed=False))
    more = {
        name: {
            "grain": table.grain,
            "key": table.key,
            "mode": table.mode,
            "columns": [c.jsonValue() for c in table.columns],
        }
        for name, table in TABLES.items()
    }
    return CommandResult(lines=grids, more={"map": more})


def list_releases(config: Config) -> CommandResult:
    """Show every release, latest first."""
    known = r.releases(existing_store(config))
    rows = []
    for one in known:
        pools = next((f"{table.rows:,}" for table in one.tables if table.name == "pools"), "–")
        stale = " (stale)" if one.valid_until < datetime.now(UTC) else ""
        times = (f"{at:%Y-%m-%d %H:%M}" for at in (one.as_of, one.created_at))
        channel = one.channel + ("" if one.share is None else f" {one.share:.0%}")
        rows.append(
            (
                str(one.seq),
                channel,
                one.release_id,
                *times,
                f"{one.valid_until:%Y-%m-%d}{stale}",
                pools,
                one.model_version,
            )
        )
    grid = TextTable(
        ("seq", "channel", "release", "as of", "published", "valid until", "pools", "model"), rows
    )
    return CommandResult(
        release_id=next((one.release_id for one in known if one.channel == PROD), None),
        lines=[grid] if known else ["nothing is published yet; next: trackpools run"],
        more={"releases": [asdict(one) for one in known]},
    )


def pools(config: Config, users: tuple[str, ...], limit: int, as_json: bool) -> CommandResult:
    """Show decoded pools of the release in force.

    Args:
        config: The merged configuration.
        users: Raw ids of users; if empty, the first `limit` users.
        limit: Number of users if `users` is empty.
        as_json: Whether to print one JSON object for each pool.

    Raises:
        InputError: If nothing is published, or a user has no pool.
    """
    store = existing_store(config)
    release = r.latest(store)
    shown = show_pools.show_pools(store, release, config, users, limit)
    if as_json:
        return CommandResult(release.release_id, lines=[json.dumps(one, ensure_ascii=False) for one in shown])
    return CommandResult(
        release.release_id, lines=[line for one in shown for line in (_head(one), _grid(one, 10))]
    )


def explain(config: Config, user: str, limit: int) -> CommandResult:
    """Show the pool of one user, the reasons of its candidates, and what the rules removed.

    Args:
        config: The merged configuration.
        user: Raw id of the user.
        limit: Number of candidates to show.
    """
    store = existing_store(config)
    release = r.latest(store)
    pool = show_pools.show_pools(store, release, config, (user,), 1)[0]
    about, explained = (
        show_pools.profile_of(store, release, user),
        PoolExplanation(store, release, config, user),
    )
    facets, because = explained.by_facet(), explained.because()
    lines: list[str | TextTable] = [
        f"release {release.seq} ({release.release_id}), as of {release.as_of:%Y-%m-%d %H:%M} UTC",
        _head(pool),
    ]
    if about:
        taste = about["profile"]
        lines.append(
            f"history: {about['plays']:,} plays of {about['recordings']:,} recordings ({about['plays_28d']:,} in 28 days); "
            f"artists {', '.join(taste['artists_life']) or 'unknown'}; tags {', '.join(taste['tags_life']) or 'unknown'}"
        )
    else:
        lines.append("history: no plays; the pool contains what the market plays")
    lines += [f"by {name}: {_shown(counts)}" for name, counts in facets.items()]
    lines.append(_grid(pool, limit, because))
    removed = ", ".join(f"{count:,} {rule}" for rule, count in pool["drops"].items()) or "nothing"
    lines.append(
        f"removed by the rules: {removed}; {pool['emitted']:,} emitted candidates = {pool['k']:,} in the pool + {sum(pool['drops'].values()):,} removed"
    )
    return CommandResult(
        release.release_id,
        lines=lines,
        more={"pool": pool, "listener": about, "facets": facets, "because": because},
    )


def _head(pool: dict[str, Any]) -> str:
    short = pool["shortfall"]
    why = (
        f"; {short['wanted'] - short['got']:,} short of {short['wanted']:,}, by the rule {short['rule']}"
        if short
        else ""
    )
    return f"user {pool['user_id']}: {pool['k']:,} candidates{why}"


def _shown(counts: dict[str, int], most: int = 12) -> str:
    rest = sum(list(counts.values())[most:])
    return printable(
        " · ".join(f"{name} {n:,}" for name, n in list(counts.items())[:most])
        + (f" · others {rest:,}" if rest else ""),
        200,
    )


def _grid(pool: dict[str, Any], limit: int, because: Sequence[str | None] = ()) -> TextTable:
    rows = []
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
        rows.append([printable(str(cell)) for cell in cells])
    left = len(pool["candidates"]) - limit
    caption = f"{left:,} more: --json shows all" if left > 0 else None
    return TextTable(("#", "title", "artists", "year", "sources", "heard", "reason"), rows, caption=caption)


def clean(config: Config, keep: int) -> CommandResult:
    """Delete the data files that the latest `keep` releases of each channel do not need."""
    with writer_lock(config.store.root):
        hours = r.vacuum(existing_store(config), keep, datetime.now(UTC))
    lines = [f"{name}: a history of {kept:,.0f} hours is kept" for name, kept in hours.items()]
    return CommandResult(
        lines=lines or ["no release is published, so nothing was deleted"], more={"hours": hours}
    )


def rollback(config: Config, seq: int) -> CommandResult:
    """Publish the tables of the older release `seq` again, as a new release."""
    with writer_lock(config.store.root):
        store = existing_store(config)
        release = r.rollback(store, seq, datetime.now(UTC))
    said = f"release {release.seq} ({release.release_id}) holds the tables of release {seq} again"
    after = "the next `trackpools run` or `refresh` publishes a new release, so first repair what was wrong. next: trackpools releases"
    return CommandResult(release.release_id, lines=[said, after])
