"""Commands that look and change nothing but what is in force: tables, releases, show, explain, doctor; and rollback, vacuum."""

from typing import Annotated, Any

import typer

from trackpools.cli import ConfigFile, Json, Quiet, Root, Settings, _end, _options, app
from trackpools.shell.command import Answer, perform


@app.command()
def tables(json: Json = False) -> None:
    """The map: every table in flow order, with grain, key, columns and meaning."""

    def work(_: Any) -> Answer:
        from trackpools.shell import tell

        return tell.the_map()

    _end(perform("tables", _options(None, None, None, json, False), work))


@app.command()
def releases(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Published releases, latest first; the first on the channel prod is in force."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import tell

        return tell.known_releases(merged)

    _end(perform("releases", _options(root, config, set_, json, quiet), work))


@app.command()
def show(
    what: Annotated[str, typer.Argument(help="pools")] = "pools",
    user: Annotated[
        list[str] | None, typer.Option("--user", help="a user id; may be repeated", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="users to show where none is named", min=1)] = 3,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Decoded pools of the release in force; with --json one object a line, a user each."""
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import tell

        return tell.pools(merged, what, tuple(user or ()), limit, json)

    _end(perform("show", options, work, lines_only=True))


@app.command()
def explain(
    user: Annotated[str, typer.Argument(help="a user id")],
    limit: Annotated[int, typer.Option(help="candidates to list", min=1)] = 20,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """One user's pool: titles, sources, reasons, heard state, and what the rules removed."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import tell

        return tell.explain(merged, user, limit)

    _end(perform("explain", _options(root, config, set_, json, quiet), work))


@app.command()
def doctor(
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Is this machine fit: Java, Spark, Delta jars, Arrow, MLflow, BLAS, disk, memory; each line ok or what to type."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import checkup  # knows no pyspark: its absence is one of the things to tell

        return checkup.doctor(merged)

    _end(perform("doctor", _options(root, config, set_, json, quiet), work))


@app.command()
def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="train, topk, ann, blend, foldin, flow, scale, sample, shilling, quality, facets, on_demand, measure or refresh"
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="much smaller, about two minutes")] = False,
    users: Annotated[
        int | None, typer.Option(help="listeners, instead of the benchmark's own number", min=1000)
    ] = None,
    recordings: Annotated[
        int | None, typer.Option(help="recordings, instead of its own number", min=1000)
    ] = None,
    rounds: Annotated[int, typer.Option(help="times that each side runs, in turns", min=1, max=100)] = 3,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Claims of speed on this machine: ours against its peers in one process, as ratios; close other programs first."""
    options = _options(None, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import bench as b

        return b.bench(merged, options, name, b.Size(quick, users, recordings), rounds)

    _end(perform("bench", options, work))


@app.command()
def vacuum(
    keep: Annotated[int, typer.Option(help="releases, latest first, that must stay readable", min=1)] = 5,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Delete files that none of the last releases can need, and nothing younger than a week."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import tell

        return tell.clean(merged, keep)

    _end(perform("vacuum", _options(root, config, set_, json, quiet), work))


@app.command()
def switch(
    action: Annotated[str, typer.Argument(help="off, on or list")],
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="all, or market, model, source, label, artist or track and one or more ids or names of it",
            show_default=False,
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option(help="for whoever reads `switch list`", show_default=False)
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Withhold a track, an artist, a label, a source, a model, a market or everything, at once; every reader follows within 30 s.

    No pool is rewritten: what is off is left out while a pool is read, and its reserve takes the place. Waits for no run.
    """
    options = _options(root, config, set_, json, quiet)

    def work(merged: Any) -> Answer:
        from trackpools.shell import switching

        return switching.switch(merged, options, action, tuple(which or ()), why)

    _end(perform("switch", options, work))


@app.command()
def rollback(
    seq: Annotated[int, typer.Argument(help="seq of the release to return to, see `releases`")],
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Publish an older release's tables again, as a new row; seconds, no data is rewritten."""

    def work(merged: Any) -> Answer:
        from trackpools.shell import tell

        return tell.roll_back(merged, seq)

    _end(perform("rollback", _options(root, config, set_, json, quiet), work))
