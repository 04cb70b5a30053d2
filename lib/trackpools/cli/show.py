"""The commands that show, check and measure, and those that switch off, roll back and clean up."""

from typing import Annotated, Any, Literal

import typer

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command()
def tables(json: Json = False) -> None:
    """List every table, with its grain, its key and the meaning of each column. It reads no data.

    The imported tables are listed first, then those of the flow in the order of its stages, then the others.
    """

    def work(_: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.list_tables()

    end(perform("tables", options_of(None, None, None, json, False), work))


@app.command()
def releases(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the published releases, latest first. The first one on the channel `prod` is in force."""

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.list_releases(merged)

    end(perform("releases", options_of(root, config, set_, json, quiet), work))


@app.command()
def show(
    what: Annotated[  # noqa: ARG001 - the only choice, so that the command line names it
        Literal["pools"],
        typer.Argument(help="What to show: `pools`. For a list of all tables, type `trackpools tables`."),
    ] = "pools",
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Id of a user to show. You may repeat --user.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of users to show if no --user is given.", min=1)] = 3,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one JSON object for each user, each on a line of its own, on standard output. Logs "
            "go to standard error.",
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Show the pools of the release in force, with titles and artists.

    It writes nothing.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.pools(merged, tuple(user or ()), limit, json)

    end(perform("show", options, work, lines_only=True))


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="Id of the user, as in the table `user_ids`.")],
    limit: Annotated[int, typer.Option(help="Number of candidates to list.", min=1)] = 20,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Explain the pool of one user.

    It lists the first candidates of the pool. For each, it shows title, artists, year, sources, reason, the
    user's plays that led to it, and whether the user has heard it. It also shows what the rules removed. It
    reads the release in force and writes nothing.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.explain(merged, user, limit)

    end(perform("explain", options_of(root, config, set_, json, quiet), work))


@app.command()
def doctor(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check whether this machine can run trackpools.

    It checks Java, Python, the versions of packages such as pyspark, the Delta jars, Arrow, the MLflow
    server, BLAS, the root, free disk and memory. It prints one line for each check; if a check fails, its
    line says what to do. It starts no Spark session. Use it after the installation, or if a command fails.
    """

    def work(merged: Any) -> CommandResult:
        # commands.doctor does not import pyspark, so that it can run and report that pyspark is missing
        from trackpools.shell.commands.doctor import doctor as check_machine

        return check_machine(merged)

    end(perform("doctor", options_of(root, config, set_, json, quiet), work))


@app.command()
def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="Benchmark: `train`, `topk`, `ann`, `blend`, `foldin`, `flow`, `scale`, `sample`, "
            "`shilling`, `quality`, `facets`, `on_demand`, `measure` or `refresh`."
        ),
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Run at a much smaller size. This takes about two minutes.")
    ] = False,
    users: Annotated[
        int | None, typer.Option(help="Number of users. Default: the benchmark's own.", min=1000)
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(help="Number of recordings. Default: the benchmark's own.", min=1000)
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            help="Number of rounds. In each round, each side of a ratio runs once. `quality` and `facets` "
            "always run once.",
            min=1,
            max=100,
        ),
    ] = 3,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure speed or quality on this machine, mostly as ratios.

    Most ratios compare our code with a comparable library such as implicit, or with another way of doing the
    work in our code. The two sides run in turns. `flow` gives no ratio, only plays per second. The data is
    generated in memory or in a temporary folder, and no table of yours is read or written. Close other
    programs first.
    """
    options = options_of(None, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.bench.claims import Size
        from trackpools.shell.bench.run_benchmark import run_benchmark

        return run_benchmark(merged, options, name, Size(quick, users, recordings), rounds)

    end(perform("bench", options, work))


@app.command()
def vacuum(
    keep: Annotated[
        int, typer.Option(help="Number of latest releases of each channel that stay readable.", min=1)
    ] = 5,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete the data files that the latest releases do not need.

    It keeps the files of the latest --keep releases of each channel, and every file that was in use less than
    a week ago. Afterwards you can no longer roll back to an older release. Use it from time to time to free
    storage.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.clean(merged, keep)

    end(perform("vacuum", options_of(root, config, set_, json, quiet), work))


@app.command()
def switch(
    action: Annotated[
        str, typer.Argument(help="`off`: withhold. `on`: serve again. `list`: show what is off.")
    ],
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to switch: `all`, or one of `market`, `model`, `source`, `label`, `artist` and "
            "`track`, followed by one or more ids or names.",
            show_default=False,
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option(help="Reason, which `switch list` shows.", show_default=False)
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Withhold a track, artist, label, source, model, market or everything, or serve it again.

    Readers apply a switch within 30 seconds, without a new run. The command writes to `switches` and
    `switch_records`, and rewrites no pool. Readers leave out the tracks, artists, labels and sources that are
    off, and the spare candidates of each pool (`pools.reserve`) take their place. If everything, the model or
    the user's market is off, readers serve no pool.
    """
    options = options_of(root, config, set_, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.releases import take_down

        return take_down.switch(merged, options, action, tuple(which or ()), why)

    end(perform("switch", options, work))


@app.command()
def rollback(
    seq: Annotated[
        int, typer.Argument(help="Number (seq) of the release to return to; see `trackpools releases`.")
    ],
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish the tables of an older release again, as a new release.

    It adds one row to `releases`, on the channel of the older release. It rewrites no data and takes seconds.
    Use it if a release is bad.
    """

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import queries

        return queries.rollback(merged, seq)

    end(perform("rollback", options_of(root, config, set_, json, quiet), work))
