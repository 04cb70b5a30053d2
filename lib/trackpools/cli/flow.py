"""The commands that run one stage or a few stages, and the demo."""

from typing import Annotated, Any

import typer

from trackpools.cli.app import (
    AsOf,
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
from trackpools.errors import InputError
from trackpools.shell.command import CommandResult, Options
from trackpools.shell.console import perform


def _stages_command(command: str, names: tuple[str, ...], text: str) -> None:
    """Register a command that runs stages in order and publishes nothing."""

    def body(
        root: Root = None,
        config: ConfigFile = None,
        set_: Settings = None,
        as_of: AsOf = None,
        known_as_of: KnownAsOf = None,
        dry_run: DryRun = False,
        json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        end(
            stages_command(
                command,
                names,
                options_of(root, config, set_, json, quiet),
                publish=False,
                as_of=as_of,
                known_as_of=known_as_of,
                dry_run=dry_run,
            )
        )

    app.command(command, help=text)(body)


def stages_command(
    command: str,
    names: tuple[str, ...],
    options: Options,
    *,
    publish: bool,
    as_of: str | None,
    known_as_of: str | None,
    dry_run: bool,
    channel: str = "prod",
    share: float | None = None,
    budget: float | None = None,
) -> int:
    """Run stages by name and, if wanted, publish their result; return the exit code.

    Args:
        command: Name of the command, for the JSON answer and MLflow.
        names: Names of the stages, in order.
        options: The common options.
        publish: Whether to publish a release.
        as_of: Only plays before this moment count; ISO 8601.
        known_as_of: Only plays received before this moment count; ISO 8601.
        dry_run: Whether to print the plan and the configuration, and run nothing.
        channel: Channel of the release.
        share: On the channel `canary`, the share of the buckets whose users read the release; None
            uses `canary.share`.
        budget: The most that the run may cost, in `cost.currency`; None sets no limit.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import pipeline as w
        from trackpools.stages import BY_NAME

        chosen = [BY_NAME[name] for name in names]
        if dry_run:
            return w.dry_run(merged, chosen)
        return w.run_stages(
            merged,
            options,
            command,
            chosen,
            publish=publish,
            as_of=as_of,
            known_as_of=known_as_of,
            channel=channel,
            share=share,
            budget=budget,
        )

    return perform(command, options, work)


FLOW = ("ids", "daily", "taste", "interactions", "features", "train", "facts", "index", "pools")
COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "ids": (
        ("ids",),
        "Give numbers to new users and recordings.\n\n"
        "It reads `plays`, `signals`, `tracks` and `users`, and adds rows to `user_ids` and `recording_ids`. "
        "A user or recording keeps its number for ever. The stage `ids` is the first one of `run`.",
    ),
    "interactions": (
        ("daily", "taste", "interactions"),
        "Count plays by user, recording and day, and sum up the days of each user and recording.\n\n"
        "It runs the stages `daily`, `taste` and `interactions`. It reads `plays`, `signals`, `tracks`, "
        "`user_ids` and `recording_ids`, and writes `plays_daily`, `not_taste` and `interactions`. Plays in "
        "a loop or in an excluded context, such as sleep, are masked: they do not count as taste. The older "
        "a play is, the less it counts (forward decay). Run `ids` first.",
    ),
    "features": (
        ("features",),
        "Describe users and recordings, and write a card for each recording and group of markets.\n\n"
        "It reads `plays_daily`, `not_taste`, `interactions`, `tracks`, `users`, `user_ids` and "
        "`recording_ids`, and writes `user_features`, `recording_features` and `track_cards`. A card holds "
        "facts about a recording, such as its title and artists. Prompts show cards to language models, and "
        "people read them. Run `interactions` first.",
    ),
    "train": (
        ("train",),
        "Train ALS factors of users and recordings with `train.engine`.\n\n"
        "It reads `interactions`, `not_taste`, `tracks`, `user_ids` and `recording_ids`, writes "
        "`user_factors` and `recording_factors`, and registers the model in MLflow as challenger. Run "
        "`interactions` first.",
    ),
    "pools": (
        ("facts", "index", "pools"),
        "Build the pool of every user.\n\n"
        "It runs the stages `facts`, `index` and `pools`. The first two build the tables that the sources of "
        "candidates read. The third collects the candidates of all enabled sources, applies the rules, and "
        "blends the rest into one pool for each user. A pool has `pools.k` candidates; if it has fewer, its "
        "shortfall says why. The command writes `pools` and the tables that the sources read. Readers see "
        "the pools only after `publish`. Run `features` and `train` first.",
    ),
}
for _name, (_stages, _text) in COMMANDS.items():
    _stages_command(_name, _stages, _text)


@app.command()
def demo(
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="First train a weak model, then search for better settings, train with them, and publish "
            "the result if it passes the gates of `promote`. This takes about 20 minutes.",
        ),
    ] = False,
    root: Annotated[
        str, typer.Option("--root", help="Folder that the tables are written to.")
    ] = "trackpools-demo",
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Show how long each step took, and how many jobs Spark ran for it."),
    ] = False,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the whole flow on a synthetic music service, in a few minutes.

    It writes tables, published pools, a report and an MLflow database into `--root`. Use it first, to see
    whether trackpools works on this machine and what its results look like.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import pipeline as w

        if full and profile:
            raise InputError("--profile shows the steps of the short demo; leave out --full or --profile")
        if full:
            from trackpools.shell.commands.demo import full_demo

            return full_demo(options)
        return w.demo(merged, options, profile=profile)

    end(perform("demo", options, work))
