"""The Typer app that every command registers with, and the options that commands share."""

from functools import partial
from typing import Annotated

import typer

from trackpools import __version__
from trackpools.shell.command import Options
from trackpools.shell.console import report_progress

app = typer.Typer(
    name="trackpools",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Build per-user **candidate pools** from a music service's listening log. A language model "
    "fills playlists from these pools.\n\n"
    "Start with `trackpools demo`. Then `import` your own log and `run` the flow. "
    "`tables` lists every table.",
)
Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        help="Folder that holds the tables: a path, s3a://, abfss://, gs:// or /Volumes/…. "
        "Default: the key store.root of the configuration.",
        show_default=False,
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        help="Configuration: a packaged one (`local`, `cluster`, `databricks` or `s3a`), or your own YAML "
        "file, which needs only the keys that differ from conf/base.yml.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set one configuration key, for example --set train.rank=32. You may repeat --set. "
        "It overrides every configuration file.",
        show_default=False,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output. Logs go to standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no progress and no warnings.")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        help="Use only plays before this moment (ISO 8601). Default: 1 ms after the last play.",
        show_default=False,
    ),
]
KnownAsOf = Annotated[
    str | None,
    typer.Option(
        "--known-as-of",
        help="Use only plays received before this moment (ISO 8601). Default: the value of --as-of; without "
        "--as-of, no limit.",
        show_default=False,
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(
        "--budget",
        help="Maximum cost, in `cost.currency`. If the estimate is higher, nothing is run. The estimate is "
        "the last recorded cost, scaled by the growth of the log. Without one, the command fails.",
        min=0.0,
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Print the stages and the merged configuration, then stop. It writes nothing."
    ),
]


def options_of(
    root: str | None, config: str | None, settings: list[str] | None, json: bool, quiet: bool
) -> Options:
    """Return the values of the shared options as one object."""
    return Options(root, config, tuple(settings or ()), json, quiet, partial(report_progress, quiet=quiet))


def _version(asked: bool) -> None:
    if asked:
        print(__version__)  # noqa: T201
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Accept the options that are written before a command."""


def end(code: int) -> None:
    """Exit with the code of a command.

    Raises:
        typer.Exit: Always.
    """
    raise typer.Exit(code)
