"""Tests of every real folder from import to a published release, on both engines.

No code is written for any of the folders (-m soak; -s shows the figures).
"""

import time

import pytest
from pyspark.sql import functions as F

from conftest import shared_data
from trackpools import stages
from trackpools.core.sources import SOURCES
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.releases import releases
from trackpools.shell.store.store import Store

FOLDERS = {
    "lastfm-1k": "lastfm1k_sample",
    "lastfm-2k": "lastfm-2k",
    "audioscrobbler": "audioscrobbler_small",
    "movielens": "ml-latest-small",
    "amazon": "amazon_music_dmf",
    "listenbrainz": "listenbrainz_fixtures",
    "spotify-songs": "spotify_songs",
}


@pytest.mark.soak
@pytest.mark.parametrize("name", FOLDERS)
def test_a_real_folder_becomes_a_release_on_both_engines(spark, config, tmp_path, name):
    path = str(shared_data(FOLDERS[name]))
    for engine in ("implicit", "mllib"):
        c = config(f"train.engine={engine}", f"store.root={tmp_path / engine}")
        began = time.monotonic()
        read = pipeline.import_log(c, Options(quiet=True), name, path).more
        pipeline.run_stages(
            c, Options(quiet=True), "run", stages.STAGES, publish=True, as_of=None, known_as_of=None
        )
        took = time.monotonic() - began
        assert read["read"] == read["accepted"] + read["rejected"] + read["duplicates"]
        store = Store(spark, c.store)
        rows = {table.name: table.rows for table in releases.latest(store).tables}
        size, full = F.size("candidates"), F.count_if(F.col("shortfall").isNull())
        sizes = store.read("pools").agg(F.min(size), F.max(size), full).first()
        print(
            f"\n{name} by {engine}: read {read['read']:,}, rejected {read['rejected']:,} {read['reasons']}, duplicates {read['duplicates']:,}; "
            f"users {rows['user_ids']:,}, recordings {rows['recording_ids']:,}, pools {rows['pools']:,} of {sizes[0]} to {sizes[1]}, {sizes[2]:,} full; {took:.0f} s"
        )
        pools = store.read("pools")
        bits = pools.select(F.explode("candidates.sources").alias("bits")).groupBy("bits").count().collect()
        shares = {
            s.name: sum(row["count"] for row in bits if row["bits"] >> s.bit & 1)
            / max(1, sum(row["count"] for row in bits))
            for s in SOURCES
        }
        drops = {
            row["rule"]: row["n"]
            for row in pools.select(F.explode("drops").alias("rule", "n"))
            .groupBy("rule")
            .agg(F.sum("n").alias("n"))
            .collect()
        }
        print("  named by", {name: f"{share:.0%}" for name, share in shares.items()}, "dropped", drops)
        assert rows["pools"] > 0
        # Every short pool says why it is short.
        assert sizes[1] <= c.pools.k
        short = store.read("pools").where(size < c.pools.k)
        assert short.where("shortfall IS NULL OR shortfall.rule = ''").count() == 0
