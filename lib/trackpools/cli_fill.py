"""The command that fills a playlist."""

import sys
from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def fill(
    prompt: Annotated[str, typer.Argument(help='what the listener wants, e.g. "a 30-minute run, nothing I have heard this month"')] = "",
    user: Annotated[str, typer.Option("--user", help="a user id", show_default=False)] = "",
    constraints: Annotated[str | None, typer.Option(
        help='JSON of constraints beside the prompt, which win over it, e.g. \'{"tracks": 20, "every": {"tags": ["jazz"]}}\'', show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="none: by code alone; else a model at llm.base_url, instead of llm.model", show_default=False)] = None,
    market: Annotated[str | None, typer.Option(help="instead of the profile's", show_default=False)] = None,
    clean: Annotated[bool, typer.Option("--clean", help="no explicit tracks, whatever the profile says")] = False,
    relax: Annotated[bool, typer.Option("--relax", help="loosen constraints where there is no such playlist, and say which")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="how it came about: constraints as read, candidates, times")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of requests and playlists, and end")] = False,
    root: Root = None, config: ConfigFile = None, set_: Settings = None, json: Json = False, quiet: Quiet = False,
) -> None:
    """Fill a playlist from a prompt: of the listener's pool and what the prompt retrieves from the released catalogue, and nothing else.

    What was asked for holds, or it is said what could not be had and why. No JVM is started. A model chooses where one is configured (section `llm`); code
    guarantees, repairs, and fills alone where the model fails.
    """
    if schema:
        from trackpools.fill.contract import schemas

        sys.stdout.write(schemas())
        return
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.errors import ConfigError
        from trackpools.fill.contract import FillRequest
        from trackpools.shell import fill_command

        if not user:
            raise ConfigError("whose playlist? name a user: --user ID")
        given = {"constraints": fill_command.require_constraints(constraints), "market": market, "clean": True if clean else None, "relax": relax}
        return fill_command.fill(merged, FillRequest.model_validate({"user_id": user, "prompt": prompt} | given), model=model, explain=explain)

    _end(perform("fill", options, work))
