"""Tests of the real data folders: pandas and Spark count the same rows; absent folders are skipped."""

import datetime as dt

import pandas as pd
import pytest

from conftest import shared_data
from trackpools.datasets import IMPORTERS
from trackpools.shell.ingest.ingest import ingest

LB = "listenbrainz_spark/testdata"


def tsv(path, **options):
    return pd.read_csv(path, sep="\t", header=None, quoting=3, keep_default_na=False, dtype=str, **options)


def lastfm_1k(folder):
    plays = pd.concat([tsv(folder / "sample.tsv", skiprows=1), tsv(folder / "myluco_sample.tsv")])
    tracks = plays[4].where(plays[4] != "", plays[3].str.lower() + "\0" + plays[5].str.lower())
    return len(plays), len(plays.assign(track=tracks).drop_duplicates([0, 1, "track"])), 992


def lastfm_2k(folder):
    counts = pd.read_csv(folder / "user_artists.dat", sep="\t")
    return len(counts), len(counts.drop_duplicates(["userID", "artistID"])), 0


def audioscrobbler(folder):
    counts = pd.read_csv(folder / "user_artist_data_small.txt", sep=" ", header=None)
    return len(counts), len(counts.drop_duplicates([0, 1])), 0


def movielens(folder):
    ratings = pd.read_csv(folder / "ratings.csv")
    return len(ratings), len(ratings.drop_duplicates(["userId", "movieId", "timestamp"])), 0


def amazon(folder):
    ratings = pd.read_csv(folder / "Amazon_ratings_Digital_Music_pruned.txt", sep=r"\s+", header=None)
    return len(ratings), len(ratings.drop_duplicates([0, 1, 3])), 0


def listenbrainz(folder):
    listens = pd.concat([pd.read_parquet(file) for file in sorted((folder / LB).glob("*dump-*/*.parquet"))])
    names = listens["artist_name"].str.lower() + "\0" + listens["recording_name"].str.lower()
    unique = listens.assign(track=listens["recording_mbid"].fillna(names)).drop_duplicates(
        ["user_id", "track", "listened_at"]
    )
    return len(listens), len(unique), 0


def spotify(folder):
    songs = pd.read_parquet(folder / "spotify_songs.parquet", columns=["playlist_id", "track_id"])
    return len(songs), len(songs.drop_duplicates()), 0


WORLDS = [
    ("lastfm-1k", "lastfm1k_sample", lastfm_1k, 1192),
    ("lastfm-2k", "lastfm-2k", lastfm_2k, 17_632),
    ("audioscrobbler", "audioscrobbler_small", audioscrobbler, 30_537),
    ("movielens", "ml-latest-small", movielens, 9125),
    ("amazon", "amazon_music_dmf", amazon, 0),
    ("listenbrainz", "listenbrainz_fixtures", listenbrainz, 64),
    ("spotify-songs", "spotify_songs", spotify, 28_356),
]


@pytest.mark.soak
@pytest.mark.parametrize(("name", "folder", "count", "tracks"), WORLDS, ids=[world[0] for world in WORLDS])
def test_a_real_folder_enters_whole(spark, store, config, name, folder, count, tracks):
    path = shared_data(folder)
    read, accepted, users = count(path)
    result = ingest(store, IMPORTERS[name](spark, str(path), config()), config(), dt.datetime.now(dt.UTC), {})
    assert (result.read, result.accepted, result.rejected, result.duplicates) == (
        read,
        accepted,
        0,
        read - accepted,
    )
    assert [store.read(table).count() for table in ("plays", "tracks", "users")] == [accepted, tracks, users]
