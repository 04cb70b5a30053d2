"""The commands that fill playlists, measure fills, and keep what models are told."""

import sys
from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def fill(
    prompt: Annotated[
        str,
        typer.Argument(
            help='what the listener wants, e.g. "a 30-minute run, nothing I have heard this month"'
        ),
    ] = "",
    user: Annotated[str, typer.Option("--user", help="a user id", show_default=False)] = "",
    constraints: Annotated[
        str | None,
        typer.Option(
            help='JSON of constraints beside the prompt, which win over it, e.g. \'{"tracks": 20, "every": {"tags": ["jazz"]}}\'',
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="none: by code alone; local: a small one on this machine (extra llm-local); else a model at llm.base_url, instead of llm.model",
            show_default=False,
        ),
    ] = None,
    deadline: Annotated[float, typer.Option(help="seconds for all of it", min=0.1, max=120)] = 20.0,
    market: Annotated[str | None, typer.Option(help="instead of the profile's", show_default=False)] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="no explicit tracks, whatever the profile says")
    ] = False,
    relax: Annotated[
        bool,
        typer.Option("--relax", help="loosen constraints where there is no such playlist, and say which"),
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="how it came about: constraints as read, candidates, times")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="print the JSON Schema of requests and playlists, and end")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
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
        given: dict[str, Any] = {
            "constraints": fill_command.require_constraints(constraints),
            "market": market,
            "clean": True if clean else None,
        }
        given |= {"relax": relax, "deadline_s": deadline}
        return fill_command.fill(
            merged,
            FillRequest.model_validate({"user_id": user, "prompt": prompt} | given),
            model=model,
            explain=explain,
        )

    _end(perform("fill", options, work))


@app.command("eval-fill")
def eval_fill(
    prompts: Annotated[
        str | None,
        typer.Option(
            help="YAML of prompts and what they mean, see --schema; ours otherwise", show_default=False
        ),
    ] = None,
    users: Annotated[
        int, typer.Option(help="listeners, drawn by lot, the same each time", min=1, max=10_000)
    ] = 5,
    model: Annotated[
        str | None, typer.Option(help="as of fill: none is code alone", show_default=False)
    ] = None,
    audit: Annotated[
        int,
        typer.Option(
            help="prompts shown to a model in several orders, to tell whether it chooses by place",
            min=0,
            max=1000,
        ),
    ] = 12,
    limit: Annotated[
        int | None, typer.Option(help="prompts a listener, of each family in turn", min=1, show_default=False)
    ] = None,
    rows: Annotated[
        int,
        typer.Option(
            help="fills that MLflow shows one by one, of each family in turn, some 0.3 s each",
            min=0,
            max=10_000,
        ),
    ] = 60,
    schema: Annotated[
        bool, typer.Option("--schema", help="print the JSON Schema of a file of prompts, and end")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure fills by a suite of prompts whose meaning is written down: what holds, what was possible at all, what was understood, how long it took.

    A file of prompts is YAML: `version: 1` and `prompts:`, each with `family`, `prompt` and `wants` (constraints, as `fill --schema` has them). {tag0},
    {artist0}, {title0}, {language0} stand for the catalogue's most common. Figures go to MLflow with each fill in fills.json.
    """
    if schema:
        import json as text

        from trackpools.fill.suite import Suite

        sys.stdout.write(text.dumps(Suite.model_json_schema(), indent=2) + "\n")
        return
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import fill_suite

        return fill_suite.evaluate(
            merged, options, prompts=prompts, users=users, model=model, audit=audit, limit=limit, rows=rows
        )

    _end(perform("eval-fill", options, work))


@app.command("prompt")
def prompts(
    action: Annotated[
        str, typer.Argument(help="show what models are told now, or register what the package has")
    ] = "show",
    alias: Annotated[
        str | None, typer.Option(help="also point this alias at it, such as production", show_default=False)
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What models are told before all else, as versions in MLflow's prompt registry; `llm.prompt` says which is read.

    Registered under the alias packaged; the same text again is no new version. Whoever writes another version there moves an alias of theirs to it.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.errors import ConfigError
        from trackpools.shell import prompts

        if action not in {"show", "register"}:
            raise ConfigError(f"prompt does show and register; got {action!r:.100}")
        return prompts.register(merged, alias) if action == "register" else prompts.show(merged)

    _end(perform("prompt", options, work))


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="kv")] = "kv",
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write what fills read of the release in force to Redis or Valkey (section `kv`): a record a listener, the catalogue once.

    Readers follow when all of it is there, never before. Run again after one that broke off, it goes on where that stopped; with nothing new it changes
    nothing. Keys carry the release, so that who reads the last one goes on reading it; all of them expire after kv.ttl_hours.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.errors import ConfigError
        from trackpools.shell import kv_export

        if what != "kv":
            raise ConfigError(f"export knows kv; got {what!r:.40}")
        return kv_export.export(merged, options)

    _end(perform("export", options, work))
