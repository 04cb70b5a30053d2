"""The command line.

The body of each command imports what it needs, so that --help is instant.
"""

import sys

import typer

from trackpools.errors import ConfigError
from trackpools.shell.console import RAISES


def whole() -> typer.Typer:
    """Return the command line with all of its commands."""
    # each module registers its commands with the app; the order of the imports is the order in --help
    from trackpools.cli import app, imports, flow, evaluate, fill, show, package, promote, refresh, run, tune  # noqa: F401, I001

    return app.app


def invoke(arguments: list[str]) -> int:
    """Run one command and return its exit code, also for arguments that Typer refuses."""
    try:
        code = whole()(arguments, standalone_mode=False, prog_name="trackpools")
    except Exception as error:
        show = getattr(error, "show", None)  # only Typer's own errors, such as wrong arguments, have it
        if show is None:
            raise
        show()
        code = getattr(error, "exit_code", 2)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the `trackpools` script."""
    sys.exit(invoke(sys.argv[1:]))


def job(name: str) -> None:
    """Run a command for `jobs/*.py`; exit with its code if it fails, and return if it succeeds.

    It never exits with 0. A runner that executes the file inside its own interpreter, as notebooks do, treats
    every SystemExit as a failure.

    Args:
        name: Name of the command; its options are those of `sys.argv`.
    """
    code = invoke([name, *sys.argv[1:]])
    if code:
        sys.exit(code)


def task(name: str) -> None:
    """Run a command for `trackpools.cli.entry_points`, inside the interpreter of a Databricks wheel task.

    It never raises SystemExit.

    Args:
        name: Name of the command; its options are those of `sys.argv`.

    Raises:
        TrackpoolsError: The failure of the command, after it was printed.
    """
    before = RAISES.set(True)
    try:
        code = invoke([name, *sys.argv[1:]])
    finally:
        RAISES.reset(before)
    if code:
        raise ConfigError(
            f"trackpools {name} does not take these arguments: {sys.argv[1:]!r:.300}; "
            f"type `trackpools {name} --help` to see what it takes"
        )
