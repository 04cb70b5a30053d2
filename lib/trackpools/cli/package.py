"""The command that builds the files that a cluster needs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trackpools.cli.app import Json, Quiet, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def package(
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write to; it is created if it does not exist.")
    ] = Path("dist"),
    environment: Annotated[
        bool,
        typer.Option(
            help="Also pack this Python and all required packages, for --archives of spark-submit. The file "
            "has about 340 MB; building it takes half a minute."
        ),
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build the files that a cluster needs to run trackpools with spark-submit.

    It reads no table. It writes into `--out`:

    - a wheel, if trackpools runs from a source checkout and hatchling is installed. If trackpools was
      installed from a wheel, it builds no wheel, and builds the other files from the installed package.
    - a zip for `--py-files`. It is needed because a wheel on `--py-files` reaches the driver only. If the
      sources have not changed, the bytes of the zip do not change.
    - an environment for `--archives`. It holds this Python interpreter and every package that trackpools and
      its jobs require, without Spark. It runs from any folder of a Linux machine that has the same type
      of processor, and a C library that is not older than the one here.
    - the jobs and the Spark properties files.
    """
    options = options_of(None, None, None, json, quiet)

    def work(_: Any) -> CommandResult:
        from trackpools.shell.commands import cluster_package

        return cluster_package.package(options, out, archive=environment)

    end(perform("package", options, work))
