"""The commands of every day: bring pools up to date at the cost of what changed, and watch what came of it."""

from typing import Annotated, Any

import typer

from trackpools.cli import (
    AsOf,
    Budget,
    ConfigFile,
    DryRun,
    Json,
    Known,
    Quiet,
    Root,
    Settings,
    _end,
    _options,
    app,
)
from trackpools.shell.command import Answer, perform


@app.command()
def refresh(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    as_of: AsOf = None,
    known_as_of: Known = None,
    dry_run: DryRun = False,
    budget: Budget = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make again the pools of those listeners alone whom something concerns, with the model in force; publish them as the next release.

    Concerned is who played or said something since the release (change feed of `interactions`), is new, has another profile, a pool out of date or
    with a track that may not be played any more. Their rows go to `pools_hot`, which readers prefer; a bucket's turn (`refresh.rota`) folds them into
    `pools`.

    Between two full runs: `trackpools import events NEW_PLAYS` · `trackpools refresh`. It says when a full run is due, and why.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell.refresh_command import plan
        from trackpools.shell.refresh_command import refresh as made

        return (
            plan(merged)
            if dry_run
            else made(merged, options, as_of=as_of, known_as_of=known_as_of, budget=budget)
        )

    _end(perform("refresh", options, work))


@app.command()
def watch(
    now: Annotated[
        str | None,
        typer.Option(
            "--now", help="ISO 8601, instead of the clock, to ask how fresh the log is.", show_default=False
        ),
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Is the log, and the release in force, as they usually are? Exit 3 where not, with what it means and what to look at first.

    Freshness, volume, missing values, drift (PSI), recordings new and lost, pool fill, shortfalls by cause; thresholds in the section `watch`. All of it goes
    to `pool_metrics` and MLflow. Run it after each `run` and `refresh`.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import health

        return health.watch(merged, options, now=now)

    _end(perform("watch", options, work))
