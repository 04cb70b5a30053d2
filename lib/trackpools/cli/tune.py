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
            help="Number of settings to try for the model, and as many for the blend. Default: tune.trials.",
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
        typer.Option("--fresh", help="Forget all earlier trials on this log and these settings."),
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for better settings of the model and better weights of the sources.

    If --root is a local folder R, it writes the settings to R/tuned.yml, which you can give as --config. It
    changes no table there. Use it before you train a challenger for `promote`.

    It sets aside the last 2 × `holdout.days` of the log as two windows, and replays the flow on the plays
    before them. Settings are judged by the recordings that users heard for the first time in the first
    window: by the share of them that is in the model's lists of `tune.k` or, for weights, in the first 500
    candidates of whole pools. The second window is never read, because `trackpools promote` measures on it.

    A search that was killed continues where it stopped. If a search is complete, the command prints its
    result at once.
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
