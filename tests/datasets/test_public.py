"""Tests of the importers of public data sets on small files; test_real.py reads the real folders."""

import datetime as dt

import pytest

from trackpools.core.log.quarantine import judge
from trackpools.datasets import IMPORTERS
from trackpools.errors import InputError

NOW = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)


@pytest.fixture
def folder(tmp_path):
    def _folder(**files):
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_bytes(
                text if isinstance(text, bytes) else text.encode()
            )
        return str(tmp_path)

    return _folder


def judge_file(spark, config, name, path):
    conf = config()
    found = IMPORTERS[name](spark, path, conf)
    return judge(found.plays, conf.ingest, NOW), found


def test_two_spellings_of_an_artist_keep_their_own_rows(spark, config, folder):
    path = folder(
        user_artist_data__txt="1 10 3\n1 11 4\n1 12\n",
        artist_alias__txt="11\t10\n\t7\n",
        artist_data__txt="10\tMogwai\nbad\n",
    )
    plays, found = judge_file(spark, config, "audioscrobbler", path)
    rows = plays.orderBy("plays").collect()
    assert [(row["track_id"], row["plays"]) for row in rows if not row["reasons"]] == [("10", 3), ("10", 4)]
    assert len({row["play_key"] for row in rows if not row["reasons"]}) == 2
    assert [row["row_text"] for row in rows if row["reasons"] == ["broken_line"]] == ["1 12"]
    assert found.tracks.collect()[0].asDict() == {
        "track_id": "10",
        "title": "Mogwai",
        "artist_ids": ["10"],
        "artist_names": ["Mogwai"],
    }


def test_movielens_reads_both_layouts_alike(spark, config, folder, tmp_path):
    old = folder(
        ratings__dat="1::2::4::1260759144\n1::3::2::1260759144\n",
        movies__dat="2::Amélie (2001)::Comedy|Romance\n".encode("latin-1"),
    )
    plays, found = judge_file(spark, config, "movielens", old)
    before = sorted(tuple(row)[:-2] for row in plays.collect())
    assert found.tracks.first().asDict() == {
        "track_id": "2",
        "title": "Amélie (2001)",
        "original_year": 2001,
        "tags": ["comedy", "romance"],
    }
    new = tmp_path / "csv"
    new.mkdir()
    (new / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,2,4.0,1260759144\n1,3,2.0,1260759144\n"
    )
    (new / "movies.csv").write_text('movieId,title,genres\n2,"Amélie, the (2001)",(no genres listed)\n')
    plays, found = judge_file(spark, config, "movielens", str(new))
    assert sorted(tuple(row)[:-2] for row in plays.collect()) == before
    assert [row["plays"] for row in plays.orderBy("track_id").collect()] == [1, 0]
    assert found.tracks.first()["tags"] == []


def test_lastfm_1k_names_tracks_without_an_id_and_maps_countries(spark, config, folder):
    lines = "u\t2009-05-04T23:08:57Z\ta1\tDeep  Dish\t\tFlash\nu\t2009-05-04T23:08:58Z\t\tdeep dish \t\tFLASH\nu\t2009-05-04T23:08:59Z\t\t\t\t\nshort\tline\n"
    path = folder(
        plays__tsv=lines,
        profile__tsv="#id\tgender\tage\tcountry\tregistered\nu\tm\t\tJapan\t\n",
        README__md="no data",
    )
    plays, found = judge_file(spark, config, "lastfm-1k", path)
    rows = plays.orderBy("played_at").collect()
    named = [row["track_id"] for row in rows if not row["reasons"]]
    assert len(named) == 2
    assert len(set(named)) == 1
    assert named[0].startswith("name:")
    assert sorted(row["reasons"] for row in rows if row["reasons"]) == [["broken_line"], ["track_id_null"]]
    assert found.users.collect() == [("u", "JP", "allow")]


def test_lastfm_2k_has_at_most_ten_tags_an_artist_the_most_used_first(spark, config, folder):
    tags = (
        "tagID\ttagValue\n" + "".join(f"{i}\tTag {i:02}\n" for i in range(12)) + "12\tchanson fran\xe7aise\n"
    )
    given = (
        "userID\tartistID\ttagID\tday\tmonth\tyear\n"
        + "".join(f"1\t5\t{i}\t1\t1\t2009\n" for i in range(13))
        + "2\t5\t12\t1\t1\t2009\n"
    )
    path = folder(
        user_artists__dat="userID\tartistID\tweight\n1\t5\t7\n",
        artists__dat='id\tname\turl\tpictureURL\n5\t"Heroes" \xe9\tu\tp\n',
        tags__dat=tags.encode("latin-1"),
        user_taggedartists__dat=given,
    )
    _, found = judge_file(spark, config, "lastfm-2k", path)
    row = found.tracks.first()
    assert (row["title"], row["tags"]) == (
        '"Heroes" \xe9',
        ["chanson française", *(f"tag {i:02}" for i in range(9))],
    )


@pytest.mark.parametrize(
    ("name", "say"),
    [
        ("audioscrobbler", "no user_artist_data file"),
        ("movielens", "no ratings.csv or ratings.dat"),
        ("lastfm-1k", "is a log of plays"),
        ("lastfm-2k", "no user_artists.dat"),
        ("amazon", "do not hold lines `user item rating unixtime`"),
        ("listenbrainz", "no Parquet files"),
        ("spotify-songs", "no Parquet file"),
    ],
)
def test_another_folder_is_refused_with_the_files_looked_for(spark, config, folder, name, say):
    with pytest.raises(InputError, match=say):
        IMPORTERS[name](spark, folder(notes__txt="a poem", log__tsv="a\tb"), config())


def test_a_parquet_file_without_the_columns_is_refused(spark, config, tmp_path):
    spark.range(1).write.parquet(str(tmp_path / "p"))
    for name in ("listenbrainz", "spotify-songs"):
        with pytest.raises(InputError) as refused:
            IMPORTERS[name](spark, str(tmp_path / "p"), config())
        assert len(refused.value.problems) >= 5
