"""The commands `fill`, `eval-fill`, `prompt` and `export`."""

import sys
from typing import Annotated, Any, Literal

import typer

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def fill(
    prompt: Annotated[
        str,
        typer.Argument(
            help='What the user wants, such as "a 30-minute run, nothing I have heard this month".'
        ),
    ] = "",
    user: Annotated[
        str,
        typer.Option(
            "--user", help="Id of the user, as in the table `user_ids`. Required.", show_default=False
        ),
    ] = "",
    constraints: Annotated[
        str | None,
        typer.Option(
            help="Constraints as JSON. They override the prompt. "
            """Example: '{"tracks": 20, "every": {"tags": ["jazz"]}}'""",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="`none`: fill by code alone. `local`: use a small model on this machine (extra llm-local). "
            "Other names: a model at `llm.base_url`. Default: `llm.model`, or `none` if it is not set.",
            show_default=False,
        ),
    ] = None,
    deadline: Annotated[
        float, typer.Option(help="Maximum time for the whole fill, in seconds.", min=0.1, max=120)
    ] = 20.0,
    market: Annotated[
        str | None,
        typer.Option(
            help="Market whose rights apply, such as SE. Default: the market of the user's profile.",
            show_default=False,
        ),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Use no explicit tracks, even if the profile allows them.")
    ] = False,
    relax: Annotated[
        bool,
        typer.Option(
            "--relax", help="If no playlist satisfies all constraints, loosen some and report which."
        ),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also print the constraints as read, the candidates and the times."),
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of requests and playlists, and exit.")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fill a playlist for one user from a prompt.

    It chooses tracks only from the user's pool and from the tracks of the catalogue that fit the prompt.
    Every constraint holds, or the answer says which one does not hold and why.

    It reads the release in force, or the key-value store if `kv.url` is set. It needs no JVM. It stores the
    playlist, in the tables `fills` and `exposures`, only if `fill.keep` is true. If a model is configured
    (section `llm`), the model chooses the tracks, and code checks and repairs its choice. Code alone fills if
    no model is configured, or if the model fails.
    """
    if schema:
        from trackpools.fill.contract.messages import schemas

        sys.stdout.write(schemas())
        return
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.errors import ConfigError
        from trackpools.fill.contract.messages import FillRequest
        from trackpools.shell.fills import fill_command

        if not user:
            raise ConfigError("fill needs a user; name one with --user ID")
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

    end(perform("fill", options, work))


@app.command("eval-fill")
def eval_fill(
    prompts: Annotated[
        str | None,
        typer.Option(
            help="YAML file of prompts and their meaning, as described above. Default: the packaged suite.",
            show_default=False,
        ),
    ] = None,
    users: Annotated[
        int,
        typer.Option(help="Number of users. Every run on a release draws the same users.", min=1, max=10_000),
    ] = 5,
    model: Annotated[
        str | None,
        typer.Option(help="Model to use, as in `fill`: `none`, `local` or a model name.", show_default=False),
    ] = None,
    audit: Annotated[
        int,
        typer.Option(
            help="Number of prompts whose candidates are shown to the model in several orders. "
            "This tests whether the model chooses by place (position in the list).",
            min=0,
            max=1000,
        ),
    ] = 12,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of prompts for each user, taken from each family in turn. Default: all.",
            min=1,
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        int,
        typer.Option(
            help="Maximum number of fills that MLflow shows one by one, taken from each family in turn. Each "
            "one adds about 0.3 s.",
            min=0,
            max=10_000,
        ),
    ] = 60,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of a file of prompts, and exit.")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure fills with a suite of prompts whose meaning is known.

    It reports how many constraints hold, which playlists were possible at all, how many prompts were
    understood, and how long the fills took. It reads the release in force, and writes the figures to MLflow,
    with each fill in fills.json. Use it before you change a model, its instructions or the parser.

    A file of prompts (`--prompts`) is YAML. Its keys are `version` (a whole number from 1) and `prompts` (a
    list). Each prompt has a `family`, a `prompt` and `wants`, which are constraints as in `fill --schema`:

    ```yaml
    version: 1
    prompts:
    - family: tag
      prompt: "20 {tag0} songs"
      wants: {tracks: 20, every: {tags: ["{tag0}"]}}
    ```

    `{tag0}` is replaced by the most common tag of the catalogue, `{tag1}` by the next one, and so on.
    `{artist0}` and `{language0}` are replaced likewise, and `{title0}` by a title that only one recording
    has.
    """
    if schema:
        import json as text

        from trackpools.fill.suite.cases import Suite

        sys.stdout.write(text.dumps(Suite.model_json_schema(), indent=2) + "\n")
        return
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.fills import suite

        return suite.evaluate_fills(
            merged, options, prompts=prompts, users=users, model=model, audit=audit, limit=limit, rows=rows
        )

    end(perform("eval-fill", options, work))


@app.command("prompt")
def prompts(
    action: Annotated[
        Literal["show", "register"],
        typer.Argument(
            help="`show`: print the instructions that fills use now. "
            "`register`: store the packaged instructions in MLflow."
        ),
    ] = "show",
    alias: Annotated[
        str | None,
        typer.Option(
            help="`register`: also point this alias, such as `production`, at the version.",
            show_default=False,
        ),
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show or register the instructions that a model gets before each request.

    MLflow's prompt registry keeps their versions. `llm.prompt` names the version that fills read. If it is
    not set, fills use the packaged text.

    `register` stores the packaged text under the alias `packaged`. If the registry has the same text already,
    the command adds no version. To use instructions of your own, add a version in MLflow, move an alias of
    yours to it, and name this alias in `llm.prompt`.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.fills import prompt_registry

        return (
            prompt_registry.register(merged, alias) if action == "register" else prompt_registry.show(merged)
        )

    end(perform("prompt", options, work))


@app.command()
def export(
    what: Annotated[  # noqa: ARG001 - the only target, so that the command line names it
        Literal["kv"], typer.Argument(help="Where to export to: `kv` is the key-value store at `kv.url`.")
    ] = "kv",
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Copy to Redis or Valkey what fills need from the release in force.

    Use it after each `run` or `refresh`, so that fills read users from memory. The section `kv` of the
    configuration says where the store is. It writes one record for each user, and the catalogue once.

    Readers switch to the export only when it is complete. If an export was interrupted, the next one
    continues where it stopped. The keys contain the release, so that readers of the previous release can go
    on. All keys expire after `kv.ttl_hours`. If readers follow an export of the release already, and more
    than half of this time is left, the command changes nothing.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.serving.kv import exporter

        return exporter.export(merged, options)

    end(perform("export", options, work))
