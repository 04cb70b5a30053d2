"""Tests of what the blend is worth on real logs.

The last fifth of each user's ratings is held out, and the liked items among them are predicted from the rest.
The tests run only with `pytest -m soak`; `-s` shows the figures.
"""

import csv
import datetime as dt
import shutil
from itertools import groupby

import pytest

from conftest import shared_data
from trackpools.shell.bench.claims import Measured
from trackpools.shell.bench.held_out_flow import interval, prepared, trial
from trackpools.shell.bench.quality import of_sources

LIKED, LEAST = 4.0, 5


def movielens(folder):
    shutil.copy(shared_data("ml-latest-small") / "movies.csv", folder / "movies.csv")
    with (shared_data("ml-latest-small") / "ratings.csv").open(encoding="utf-8") as file:
        rows = [
            (row["userId"], row["movieId"], row["rating"], row["timestamp"]) for row in csv.DictReader(file)
        ]

    def write(kept):
        with (folder / "ratings.csv").open("w", encoding="utf-8") as file:
            csv.writer(file).writerows([("userId", "movieId", "rating", "timestamp"), *kept])

    return rows, write


def amazon(folder):
    (path,) = shared_data("amazon_music_dmf").glob("*.txt")
    rows = [tuple(line.split()) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return rows, lambda kept: (folder / "ratings.txt").write_text(
        "".join(" ".join(row) + "\n" for row in kept), encoding="utf-8"
    )


def split(rows):
    """Hold out the last fifth of each user's rows, by time.

    Of users with fewer than `LEAST` rows, all rows are kept.

    Returns:
        `(kept, later)`: the kept rows, and `(user, item)` of the held-out rows that the user liked.
    """
    kept, later = [], []
    for _, group in groupby(
        sorted(rows, key=lambda row: (row[0], int(row[3]), row[1])), key=lambda row: row[0]
    ):
        mine = list(group)
        cut = len(mine) - (len(mine) // 5 if len(mine) >= LEAST else 0)
        kept += mine[:cut]
        later += [row[:2] for row in mine[cut:] if float(row[2]) >= LIKED]
    return kept, later


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("name", "read"), [("movielens", movielens), ("amazon", amazon)])
def test_the_blend_is_no_worse_than_its_best_source_less_two_percent(spark, config, tmp_path, name, read):
    folder = tmp_path / "train"
    folder.mkdir()
    rows, write = read(folder)
    kept, later = split(rows)
    write(kept)
    day = dt.datetime.fromtimestamp(max(int(row[3]) for row in kept), dt.UTC).date() + dt.timedelta(days=1)
    flow = prepared(config("rules.min_listeners=1"), day, name, str(folder))
    ids, recordings = (flow.store.read(table) for table in ("user_ids", "recording_ids"))
    pairs = (
        spark.createDataFrame(later, "user_id string, recording_id string")
        .join(ids, "user_id")
        .join(recordings, "recording_id")
        .select("user_idx", "recording_idx")
    )
    found = Measured([])
    with trial(flow, "exclude", pairs) as one:
        recalls = of_sources(one, "new", lambda _: None, found)
    best = max((source for source in recalls if source != "blend"), key=lambda source: recalls[source].mean())
    low, high = interval(recalls["blend"] - recalls[best])
    print(
        f"\n{name}: {len(one.users)} users, blend {recalls['blend'].mean():.4f}, "
        f"{best} {recalls[best].mean():.4f}, 95 % interval of the difference {low:+.4f} to {high:+.4f}"
    )
    for figure, values in found.figures.items():
        print(f"  {figure}: {values[0]:.4f}")
    assert recalls["blend"].mean() >= 0.98 * recalls[best].mean()
