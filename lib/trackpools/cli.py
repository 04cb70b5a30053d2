"""The command line. Bodies import what they need, so that --help is instant."""

import sys
from typing import Annotated, Any

import typer

from trackpools import __version__
from trackpools.errors import ConfigError
from trackpools.shell.command import RAISES, Answer, Options, perform

app = typer.Typer(
    name="trackpools",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="From a music service's listening log to per-user **candidate pools** that an LLM fills playlists from.\n\n"
    "Start with `trackpools demo`; then `import` your log and `run` the flow. `tables` prints the map of what exists.",
)
Root = Annotated[
    str | None,
    typer.Option(
        "--root", help="Folder of the tables: a path, s3a://, abfss://, gs://, /Volumes/…", show_default=False
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="local, cluster, databricks, s3a, or a YAML file with what differs from conf/base.yml.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="One key, e.g. --set train.rank=32; may be repeated; wins over files.",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on standard output; logs stay on standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no warnings.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="ISO 8601; only plays before it count. Default: last play + 1 ms.", show_default=False
    ),
]
Known = Annotated[
    str | None,
    typer.Option(
        "--known-as-of",
        help="ISO 8601; only plays received before it count. Default: --as-of.",
        show_default=False,
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Refuse, before anything is run, what would cost more (cost.currency), by what it cost last.",
        min=0.0,
        show_default=False,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and the merged configuration; touch nothing.")
]


def _options(
    root: str | None, config: str | None, settings: list[str] | None, json: bool, quiet: bool
) -> Options:
    return Options(root, config, tuple(settings or ()), json, quiet)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)  # noqa: T201
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before a command."""


def _end(code: int) -> None:
    raise typer.Exit(code)


@app.command("import")
def import_(
    name: Annotated[
        str,
        typer.Argument(
            help="events; tracks, users and signals of your own; synthetic; listenbrainz, lastfm-1k, lastfm-2k, audioscrobbler, movielens, amazon, spotify-songs; "
            "vectors, text-vectors"
        ),
    ],
    path: Annotated[
        str | None,
        typer.Argument(
            help="file, folder or URI; none for synthetic; a model2vec model for text-vectors",
            show_default=False,
        ),
    ] = None,
    users: Annotated[int | None, typer.Option(help="synthetic: listeners", show_default=False)] = None,
    tracks: Annotated[int | None, typer.Option(help="synthetic: tracks", show_default=False)] = None,
    days: Annotated[int | None, typer.Option(help="synthetic: length of the log", show_default=False)] = None,
    seed: Annotated[
        int | None, typer.Option(help="synthetic: same seed, same rows", show_default=False)
    ] = None,
    user_vectors: Annotated[
        str | None,
        typer.Option(help="vectors: the table of users; PATH is that of tracks", show_default=False),
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read a listening log into `plays`; refused rows go to `plays_rejected` with every reason. The same file twice changes nothing.

    A catalogue, profiles and acts of your own (tracks, users, signals) change the columns that their files have, and no others; plays only fill in what
    no catalogue has told. `ingest.columns` maps your column names.

    Where an own log (events) has a `profile_id`, the listener is ACCOUNT/PROFILE, also in the tables users and signals; without one, the account.

    Vectors of your own, for the source `vectors`: a Delta or Parquet table of `track_id, vector`, and one of `user_id, vector` by --user-vectors.
    """
    world = {"users": users, "tracks": tracks, "days": days, "seed": seed}
    settings = [
        *(set_ or ()),
        *(f"synthetic.{key}={value}" for key, value in world.items() if value is not None),
    ]
    options = _options(root, config, settings, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import work as w

        return w.import_log(merged, options, name, path, user_vectors)

    _end(perform("import", options, work))


def _stages_command(command: str, names: tuple[str, ...], text: str) -> None:
    """Register a command that runs stages in order."""

    def body(
        root: Root = None,
        config: ConfigFile = None,
        set_: Settings = None,
        as_of: AsOf = None,
        known_as_of: Known = None,
        dry_run: DryRun = False,
        json: Json = False,
        quiet: Quiet = False,
    ) -> None:
        _end(
            stages_command(
                command,
                names,
                _options(root, config, set_, json, quiet),
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
    """Run stages by name, and publish on a channel; returns the exit code."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import work as w
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
    "ids": (("ids",), "Number new users and recordings; nobody is ever renumbered."),
    "interactions": (
        ("daily", "taste", "interactions"),
        "Plays → days, what is no taste masked → one row a user × recording, with forward decay.",
    ),
    "features": (("features",), "User and recording features, and the cards that prompts and people read."),
    "train": (("train",), "ALS factors by the configured engine (train.engine)."),
    "pools": (
        ("facts", "index", "pools"),
        "What sources look up is laid out → candidates of all sources → rules → blend → exactly K or a shortfall.",
    ),
}
for _name, (_stages, _text) in COMMANDS.items():
    _stages_command(_name, _stages, _text)


@app.command()
def demo(
    full: Annotated[
        bool, typer.Option("--full", help="also search for better settings and promote them: some 20 minutes")
    ] = False,
    root: Root = "trackpools-demo",
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """A synthetic music service, end to end: published pools, an MLflow run and a report, in a few minutes."""
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import work as w

        if full:
            from trackpools.shell.full_demo import full_demo

            return full_demo(options)
        return w.demo(merged, options)

    _end(perform("demo", options, work))


def whole() -> typer.Typer:
    """The command line with all of its commands."""
    from trackpools import (
        cli_evaluate,
        cli_fill,
        cli_look,
        cli_package,
        cli_promote,
        cli_refresh,
        cli_run,
        cli_tune,
    )  # noqa: F401 - registers their commands

    return app


def _run(arguments: list[str]) -> int:
    """Run one command; returns its exit code, also for arguments that typer refuses."""
    try:
        code = whole()(arguments, standalone_mode=False, prog_name="trackpools")
    except Exception as error:
        show = getattr(error, "show", None)  # typer's own: wrong arguments
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the `trackpools` script."""
    sys.exit(_run(sys.argv[1:]))


def job(name: str) -> None:
    """Body of `jobs/*.py`: the same command under spark-submit; exits with its code on failure, returns on success.

    No exit of 0: a runner that executes the file inside its own interpreter, as notebooks do, takes any SystemExit for a failure.
    """
    code = _run([name, *sys.argv[1:]])
    if code:
        sys.exit(code)


def task(name: str) -> None:
    """Body of `trackpools.tasks`: the same command inside somebody's interpreter, as a Databricks wheel task runs it; never a SystemExit.

    Raises:
        TrackpoolsError: what failed, after it was told as always.
    """
    before = RAISES.set(True)
    try:
        code = _run([name, *sys.argv[1:]])
    finally:
        RAISES.reset(before)
    if code:
        raise ConfigError(
            f"trackpools {name} does not take these arguments: {sys.argv[1:]!r:.300}; what it takes stands in `trackpools {name} --help`"
        )
