"""The command that searches for settings."""

from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def tune(
    until: Annotated[
        str | None,
        typer.Option(
            help="ISO 8601; only plays before it count. Default: last play + 1 ms.", show_default=False
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            help="settings to try, of the model and of the blend. Default: tune.trials.", show_default=False
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="after which no trial begins. Default: tune.minutes.", show_default=False),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what was tried on this log under these settings.")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Search for better settings of the model and weights of its sources; writes `tuned.yml` into the root, for --config, and touches no table there.

    The past is played again up to two windows (`holdout.days`) before the end of the log; what counts is how much of what listeners then heard for
    the first time, in the first window, is found. The second is never read: it is what `trackpools promote` measures on.

    A search that was killed goes on where it was; the same call again answers at once.
    """
    own = [
        f"tune.{key}={value}"
        for key, value in (("trials", trials), ("minutes", minutes))
        if value is not None
    ]
    options = _options(root, config, [*(set_ or ()), *own], json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell.searching import tune

        return tune(merged, options, until=until, fresh=fresh)

    _end(perform("tune", options, work))
