"""The command that builds what a cluster is given."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trackpools.cli import Json, Quiet, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def package(
    out: Annotated[Path, typer.Option("--out", help="folder; made where it is not there")] = Path("dist"),
    environment: Annotated[
        bool,
        typer.Option(
            help="Also pack this Python with all it needs, some 340 MB in half a minute, for --archives."
        ),
    ] = True,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build what a cluster is given: wheel, zip for `--py-files`, environment for `--archives`, and beside them the jobs and the properties files.

    A wheel on `--py-files` reaches the driver only, hence the zip, which is the same for the same sources. The environment holds the interpreter
    that runs this and every package that trackpools and its jobs require, without Spark, and runs in any folder of the same kind of Linux.

    From an installed wheel there is no wheel to build; the rest is made of what is installed.
    """
    options = _options(None, None, None, json, quiet)

    def work(_: Any) -> Answer:
        from trackpools.shell import packaging

        return packaging.package(options, out, archive=environment)

    _end(perform("package", options, work))
