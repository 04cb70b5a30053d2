"""The command that searches for better settings."""

from typing import Annotated, Any

import typer

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def tune(
    until: Annotated[
        str | None,
        typer.Option(
            help="Use only plays before this moment (ISO 8601). Default: 1 ms after the last play.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="Number of combinations of settings to try for the model, and again for the weights of the "
            "sources. Default: tune.trials.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Minutes after which no new trial starts. Default: tune.minutes.", show_default=False
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Delete the saved trials of the same search (same log, period, code and settings), and "
            "start over.",
        ),
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for better settings of the model and better weights of the sources.

    If the root is a local folder R, the command writes the best settings to R/tuned.yml, which you can give
    as --config; otherwise it prints them as --set options. It changes no table of the root. Use it before you
    train a challenger for `promote`.

    It sets aside the last 2 × `holdout.days` days of the log as two periods of equal length, and replays the
    flow on the plays before them. The search looks at what users heard for the first time in the first
    period. Settings of the model are judged by the share of these recordings that the model ranks among its
    first `tune.k`. Weights of sources are judged by the share of these recordings that are among the first
    500 candidates of pools; weights that lose too many recordings heard before are marked down. At the end,
    the best settings are compared with the present ones on all users. The second period is never read,
    because `trackpools promote` measures on it.

    If a search was interrupted, the same command on the same log and settings continues it. If a search is
    complete, the command prints its result at once.
    """
    own = [
        f"tune.{key}={value}"
        for key, value in (("trials", trials), ("minutes", minutes))
        if value is not None
    ]
    options = options_of(root, config, [*(set_ or ()), *own], json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.tuning.search import tune

        return tune(merged, options, until=until, fresh=fresh)

    end(perform("tune", options, work))
