"""Small catalogues for fills, without Spark: cards as Arrow tables, and users."""

import numpy as np
import pyarrow as pa

from trackpools.core.sources.user_block import NO_DAY
from trackpools.fill.parser import parse as rules
from trackpools.fill.solver.catalogue import Listener, Tracks
from trackpools.fill.solver.compose import FillCandidates

TODAY = 20_000
YEAR = 2026
TAGS = ("rock", "jazz", "pop", "hip hop")


def read(prompt, words=None):
    """Return what the rules read in a prompt in 2026."""
    return rules.read(prompt, words, year=YEAR)


def cards(rows):
    """Return an Arrow table of `track_cards` of one market; what a row leaves out is unknown."""
    kinds = {
        "recording_idx": pa.int32(),
        "track_id": pa.string(),
        "clean_track_id": pa.string(),
        "recording_id": pa.string(),
        "title": pa.string(),
        "artist_ids": pa.list_(pa.string()),
        "artist_names": pa.list_(pa.string()),
        "language": pa.string(),
        "version_kind": pa.string(),
        "tags": pa.list_(pa.string()),
        "original_year": pa.int32(),
        "duration_ms": pa.int64(),
        "tempo": pa.float32(),
        "energy": pa.float32(),
        "popularity": pa.float32(),
        "artist_rank": pa.int32(),
    }
    whole = [
        {"recording_idx": n, "track_id": f"t{n}", "recording_id": f"r{n}", "popularity": 0.5} | row
        for n, row in enumerate(rows)
    ]
    return pa.table({name: pa.array([row.get(name) for row in whole], kind) for name, kind in kinds.items()})


def tracks(rows):
    """Return a catalogue; equal artist names share an artist, and equal `album` values share an album."""
    first, artist, album = {}, [], []
    for n, row in enumerate(rows):
        name = (row.get("artist_names") or [None])[0]
        artist.append(n if name is None else first.setdefault(("artist", name), n))
        album.append(n if row.get("album") is None else first.setdefault(("album", row["album"]), n))
    plain = [{name: value for name, value in row.items() if name != "album"} for row in rows]
    return Tracks.of(cards(plain), np.array(artist, np.int64), np.array(album, np.int64))


def some(seed, size=40):
    """Return a random catalogue, with a tenth of its facts unknown."""
    rng = np.random.default_rng(seed)

    def perhaps(value):
        return None if rng.random() < 0.1 else value

    return tracks(
        [
            {
                "title": f"Song {n}",
                "artist_names": perhaps([f"Artist {rng.integers(8)}"]),
                "album": int(rng.integers(15)),
                "tags": perhaps([str(rng.choice(TAGS))]),
                "original_year": perhaps(int(rng.integers(1960, 2025))),
                "duration_ms": perhaps(int(rng.integers(120, 360)) * 1000),
                "tempo": perhaps(float(rng.integers(60, 180))),
                "energy": perhaps(round(float(rng.random()), 3)),
                "popularity": round(float(rng.random()), 3),
                "artist_rank": int(rng.integers(1, 12)),
                "language": perhaps(str(rng.choice(["en", "fr"]))),
                "version_kind": perhaps(str(rng.choice(["original", "live", "remix"]))),
                "clean_track_id": perhaps(f"c{n}"),
            }
            for n in range(size)
        ]
    )


def listener(heard=(), top=()):
    """Return a user who heard `{recording: days ago}` once each; None is an unknown day."""
    heard = dict(heard)
    idx = np.array(sorted(heard), np.int64)
    days = np.array([NO_DAY if heard[one] is None else TODAY - heard[one] for one in idx.tolist()], np.int64)
    return Listener(idx, np.ones(len(idx), np.int64), days, np.ones(len(idx), bool), TODAY, {28: tuple(top)})


def everything(catalogue):
    """Return all of a catalogue as candidates, in its order."""
    rows = np.arange(len(catalogue))
    return FillCandidates(rows, np.linspace(1, 0, len(rows), endpoint=False), rows)
