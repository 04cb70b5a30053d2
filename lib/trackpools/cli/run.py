"""The commands `run` (also as a backfill), `publish`, and `canary`, which checks or ends a canary."""

from typing import Annotated, Any, Literal

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
from trackpools.cli.flow import FLOW, stages_command
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform

Channel = Annotated[
    Literal["prod", "canary", "shadow", "backfill"],
    typer.Option(
        help="Who reads the release. `prod`: all readers. `canary`: the users in a share of the buckets "
        "(groups of users). `shadow` and `backfill`: only readers that ask for this release."
    ),
]
Buckets = Annotated[
    float | None,
    typer.Option(
        "--share",
        help="Channel `canary`: share of the buckets whose users read the release. Default: canary.share.",
        min=0.0001,
        max=1.0,
        show_default=False,
    ),
]


@app.command()
def run(
    from_: Annotated[
        str | None,
        typer.Option(
            "--from", help="Backfill: as_of of the first release (ISO 8601). Needs --to.", show_default=False
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Backfill: latest as_of of a release (ISO 8601). Needs --from.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="Backfill: days between two releases.", min=1, max=366)] = 1,
    channel: Channel = "prod",
    share: Buckets = None,
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
    """Run the whole flow, from `ids` to `publish`.

    It reads the imported tables `plays`, `signals`, `tracks`, `users` and `vectors`. It writes every table of
    the flow, one release, an MLflow run with the model, and a report. A stage other than `ids` is skipped if
    its tables already hold the result of the same inputs, settings, code and as_of. If a run was interrupted,
    start the command again: it skips the finished stages. Use `run` after an import, for example once a week.
    Between two runs, `refresh` is cheaper.

    **Backfill**: with --from and --to, it publishes one release for each day, or one for every --every days.
    Each release uses only plays and signals from before its as_of, and only plays received by then; the
    tables `tracks`, `users` and `vectors` are used as they are now. These releases go to the channel
    `backfill`, so readers keep the release that they follow.
    """
    options = options_of(root, config, set_, json, quiet)

    def back(merged: Any) -> CommandResult:
        from trackpools.errors import ConfigError
        from trackpools.shell.commands.backfill import backfill

        if from_ is None or to is None or any((as_of, known_as_of, share, dry_run, channel != "prod")):
            raise ConfigError(
                "a backfill needs both --from and --to, and takes no --as-of, --known-as-of, --channel, --share "
                "or --dry-run, because it builds each release as of its own day and publishes it on the channel "
                "backfill"
            )
        return backfill(merged, options, from_, to, every, budget=budget)

    if from_ is not None or to is not None:
        end(perform("run", options, back))
    end(
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
    known_as_of: KnownAsOf = None,
    dry_run: DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the pools and publish them as a release, in one commit.

    Use it after the commands `ids`, `interactions`, `features`, `train` and `pools`, which together run every
    stage. It adds a row to `releases` that pins the version of every table that readers need. Until that row
    is written, readers follow the old release. The release has the as_of that its pools were built with:
    --as-of and --known-as-of change nothing here.
    """
    options = options_of(root, config, set_, json, quiet)
    end(
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
        bool,
        typer.Option(
            "--stop", help="End the canary without a check. Its readers follow the release in force again."
        ),
    ] = False,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check the guardrails of the current canary release; exit 4 if it is rolled back.

    A canary is a release that only some users read: those in a share of the buckets (groups of users).
    Publish one with `run --channel canary` or `publish --channel canary`. Every later `refresh`, and every
    later `run`, `publish` or `promote` on the channel `prod`, checks it too.

    The guardrails compare the canary's pools with those of the release in force (channel `prod`): how full
    they are, how many distinct recordings they hold, and how many recordings the two pools of a user have in
    common. If the log has at least one day after the as_of of both releases, the guardrails also compare how
    well the pools match what users played then. A guardrail fails too if a pool of the canary holds a
    recording that its user may not play. The limits are in the sections `canary` and `promote` of the
    configuration. If a guardrail does not hold, a new row in `releases` ends the canary.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.promotion import canary_check

        return canary_check.canary(merged, options, stop=stop)

    end(perform("canary", options, work))
