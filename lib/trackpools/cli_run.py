"""The commands that publish: the whole flow, of now or of days gone by, what the stages left, and a canary's guardrails."""

from typing import Annotated, Any, Literal

import typer

from trackpools.cli import (
    FLOW,
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
    stages_command,
)
from trackpools.shell.command import Answer, perform

Channel = Annotated[
    Literal["prod", "canary", "shadow", "backfill"],
    typer.Option(
        help="Who reads it: everybody, a share of the buckets, and of shadow and backfill only who names the release."
    ),
]
Buckets = Annotated[
    float | None,
    typer.Option(
        "--share",
        help="Of the buckets, for a canary. Default: canary.share.",
        min=0.0001,
        max=1.0,
        show_default=False,
    ),
]


@app.command()
def run(
    from_: Annotated[
        str | None,
        typer.Option("--from", help="ISO 8601: a backfill, as of each day from here …", show_default=False),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="… to here; on the channel backfill, so readers keep what they have.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="days between two releases of a backfill", min=1, max=366)] = 1,
    channel: Channel = "prod",
    share: Buckets = None,
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
    """The whole flow, ids to publish. What is unchanged is skipped; what a crash left is finished."""
    options = _options(root, config, set_, json, quiet)

    def back(merged: Any) -> Answer:
        from trackpools.errors import ConfigError
        from trackpools.shell.backfill import backfill

        if from_ is None or to is None or as_of or known_as_of or channel != "prod":
            raise ConfigError(
                "a backfill takes --from and --to, and neither --as-of, --known-as-of nor --channel: each of its releases is as of one day"
            )
        return backfill(merged, options, from_, to, every, budget=budget)

    if from_ is not None or to is not None:
        _end(perform("run", options, back))
    _end(
        stages_command(
            "run",
            FLOW,
            options,
            publish=True,
            as_of=as_of,
            known_as_of=known_as_of,
            dry_run=dry_run,
            channel=channel,
            share=share,
            budget=budget,
        )
    )


@app.command()
def publish(
    channel: Channel = "prod",
    share: Buckets = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    as_of: AsOf = None,
    known_as_of: Known = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the pools and make them visible in one commit; the old release stands until then."""
    options = _options(root, config, set_, json, quiet)
    _end(
        stages_command(
            "publish",
            (),
            options,
            publish=True,
            as_of=as_of,
            known_as_of=known_as_of,
            dry_run=dry_run,
            channel=channel,
            share=share,
        )
    )


@app.command()
def canary(
    stop: Annotated[
        bool, typer.Option("--stop", help="End it: its readers follow the release in force again.")
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge the canary that is followed now: fullness, coverage, overlap, rights, and what its listeners then heard; exit 4 where it was rolled back.

    Publish one by `run --channel canary` or `publish --channel canary`. Every later `run` and `refresh` judges it too.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import canarying

        return canarying.canary(merged, options, stop=stop)

    _end(perform("canary", options, work))
