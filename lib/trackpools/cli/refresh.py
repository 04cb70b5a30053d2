"""The daily commands: refresh the pools that must change, and check log and release."""

from typing import Annotated, Any

import typer

from trackpools.cli.app import (
    AsOf,
    Budget,
    ConfigFile,
    DryRun,
    Json,
    KnownAsOf,
    Quiet,
    Root,
    Settings,
    app,
    end,
    options_of,
)
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def refresh(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    as_of: AsOf = None,
    known_as_of: KnownAsOf = None,
    dry_run: DryRun = False,
    budget: Budget = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rebuild only the pools that must change, and publish the next release.

    It uses the model of the release in force. Use it between two full runs, after each import of new plays.
    It reports when a full run is due, and why.

    It rebuilds the pools of users who:

    - have new plays or signals since the release (change feed of `interactions`);
    - are new, or have a changed profile (row in `users`);
    - have a pool that is due to be rebuilt, or that holds a track that may no longer be played.

    It reads `plays`, `signals`, `tracks` and `users`. It writes the new pools to `pools_hot`, which readers
    prefer to `pools`. In some buckets (groups of users), it writes the new pools to `pools` instead, and
    moves the earlier ones there from `pools_hot`. After `refresh.rota` refreshes, every bucket has had its
    turn.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.refresh.refresh_command import plan
        from trackpools.shell.refresh.refresh_command import refresh as made

        return (
            plan(merged)
            if dry_run
            else made(merged, options, as_of=as_of, known_as_of=known_as_of, budget=budget)
        )

    end(perform("refresh", options, work))


@app.command()
def watch(
    now: Annotated[
        str | None,
        typer.Option(
            "--now",
            help="Moment at which the age of the log is measured (ISO 8601). Default: now.",
            show_default=False,
        ),
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the log and the release in force against thresholds; exit 3 if a check fails.

    Use it after each `run` and `refresh`. It changes no release. For each failed check, it says what the
    failure means and what to look at first.

    It checks freshness, volume, missing values, drift (PSI), new and lost recordings, how full the pools are,
    and shortfalls by cause. The thresholds are in the section `watch` of the configuration. It writes the
    results to `pool_metrics` and MLflow.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.monitoring import release_health

        return release_health.watch(merged, options, now=now)

    end(perform("watch", options, work))
