"""The command that imports logs, catalogues and vectors."""

from typing import Annotated, Any

import typer

from trackpools.cli.app import ConfigFile, Json, Quiet, Root, Settings, app, end, options_of
from trackpools.shell.command import CommandResult
from trackpools.shell.console import perform


@app.command("import")
def import_(
    name: Annotated[
        str,
        typer.Argument(
            help="What to import. Your own data: `events` (a log), `tracks`, `users`, `signals`. "
            "Generated data: `synthetic`. Public data: `listenbrainz`, `lastfm-1k`, `lastfm-2k`, "
            "`audioscrobbler`, `movielens`, `amazon`, `spotify-songs`. Vectors: `vectors`, `text-vectors`."
        ),
    ],
    path: Annotated[
        str | None,
        typer.Argument(
            help="File, folder or URI to read. For `text-vectors`, it is the folder of a model2vec model. "
            "`synthetic` takes no PATH.",
            show_default=False,
        ),
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(help="`synthetic`: number of users. Default: synthetic.users.", show_default=False),
    ] = None,
    tracks: Annotated[
        int | None,
        typer.Option(help="`synthetic`: number of tracks. Default: synthetic.tracks.", show_default=False),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(
            help="`synthetic`: length of the log in days. Default: synthetic.days.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="`synthetic`: seed. The same seed gives the same rows. Default: synthetic.seed.",
            show_default=False,
        ),
    ] = None,
    user_vectors: Annotated[
        str | None,
        typer.Option(
            help="`vectors`: table of the users' vectors. PATH is the table of the tracks' vectors.",
            show_default=False,
        ),
    ] = None,
    root: Root = None,
    config: ConfigFile = None,
    set_: Settings = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Import a listening log, a catalogue, user profiles or vectors.

    It adds the plays of a log to the table `plays`. Facts that a log gives about tracks and users go to the
    tables `tracks` and `users`. Refused rows go to `plays_rejected` with every reason. Importing the same
    file again changes nothing. Afterwards type `trackpools run` the first time, and `trackpools refresh`
    later.

    Set `ingest.columns` if your files have other column names than the tables.

    - `import tracks`, `import users` and `import signals` read a catalogue, user profiles and explicit acts
      (like, save, dislike, block, undo). They change only the columns that their files have. A value that a
      log gives about a track is used only where no catalogue gives one.
    - `import events` reads a log. If a row has a `profile_id`, its user id becomes ACCOUNT/PROFILE, and files
      for `users` and `signals` must use this same id. If a row has no `profile_id`, its user id is the
      account.
    - `import synthetic` generates plays, tracks, users and signals.
    - `import vectors` replaces every vector of the source named `vectors`. PATH is a Delta or Parquet
      table with the columns `track_id` and `vector`. The table of --user-vectors has the columns `user_id`
      and `vector`.
    - `import text-vectors` replaces the same vectors by vectors of the tracks, which it computes from the
      texts of the catalogue.
    """
    world = {"users": users, "tracks": tracks, "days": days, "seed": seed}
    settings = [
        *(set_ or ()),
        *(f"synthetic.{key}={value}" for key, value in world.items() if value is not None),
    ]
    options = options_of(root, config, settings, json, quiet)

    def work(merged: Any) -> CommandResult:
        from trackpools.shell.commands import pipeline as w

        return w.import_log(merged, options, name, path, user_vectors)

    end(perform("import", options, work))
