"""Find whose history a new version of the catalogue changes.

Most new versions change nobody's history: they add tracks that nobody has played, or titles and rights.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from trackpools.core.contracts.ids import recording_of

# a signal with such a `track_id` is on all tracks of an artist, see `interactions.spread_artist_signals`
ARTIST_SIGNAL = "artist:"


def remapped_tracks(before: DataFrame, now: DataFrame) -> DataFrame:
    """Return the `track_id` of each track whose plays count for another recording than before.

    A track that is not in the catalogue is a recording of its own, see `interactions.with_idx`.

    Args:
        before, now: rows of `tables.TRACKS`.
    """
    old = recording_of(before).withColumnRenamed("recording_id", "_before")
    both = recording_of(now).join(old, "track_id", "full")
    recordings = (F.coalesce(name, "track_id") for name in ("recording_id", "_before"))
    new, former = recordings
    return both.where(new != former).select("track_id")


def artists_with_other_tracks(before: DataFrame, now: DataFrame) -> DataFrame:
    """Return the distinct `artist` ids whose tracks differ; a signal on an artist counts for each track.

    Args:
        before, now: rows of `tables.TRACKS`.
    """
    old, new = (
        tracks.select(F.explode("artist_ids").alias("artist"), "track_id").distinct()
        for tracks in (before, now)
    )
    return new.exceptAll(old).unionByName(old.exceptAll(new)).select("artist").distinct()


def users_with_other_history(
    before: DataFrame, now: DataFrame, plays: DataFrame, signals: DataFrame
) -> DataFrame:
    """Return the `user_id` of the users whose plays or signals count for other recordings than before.

    Args:
        before, now: rows of `tables.TRACKS`.
        plays, signals: rows of the tables of these names.

    Returns:
        `user_id`, with repetitions.
    """
    tracks, artists = remapped_tracks(before, now), artists_with_other_tracks(before, now)
    on_tracks = plays.select("user_id", "track_id").unionByName(signals.select("user_id", "track_id"))
    artist = F.substring("track_id", len(ARTIST_SIGNAL) + 1, 2**31 - 1).alias("artist")
    on_artists = signals.where(F.startswith("track_id", F.lit(ARTIST_SIGNAL))).select("user_id", artist)
    return (
        on_tracks.join(tracks, "track_id", "left_semi")
        .select("user_id")
        .unionByName(on_artists.join(artists, "artist", "left_semi").select("user_id"))
    )
