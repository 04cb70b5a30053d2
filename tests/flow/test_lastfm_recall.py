"""Tests of both engines on real counts: recall@20 of held-out artists (-m soak).

The engines are tuned over one grid on a validation part.
"""

import numpy as np
import pytest

from conftest import shared_data
from trackpools import stages
from trackpools.core.topk.exact import Ragged, top_k
from trackpools.shell.command import Options
from trackpools.shell.commands import pipeline
from trackpools.shell.pipeline.runner import Flow
from trackpools.shell.tracking.tracker import Tracker
from trackpools.shell.training.train import train

GRID = [(reg, alpha) for reg in (0.3, 1, 30, 100) for alpha in (1, 5, 10)]
K = 20


def held_out(user, fraction, rng):
    """Return a mask of a random fraction (rounded down) of each user's rows."""
    order = np.lexsort((rng.random(len(user)), user))
    sizes = np.bincount(user)
    position = np.empty(len(user), int)
    position[order] = np.concatenate([np.arange(n) for n in sizes])
    return position < np.floor(sizes[user] * fraction + 1e-9)


def lists(user, recording, users):
    order = np.lexsort((recording, user))
    return Ragged(np.searchsorted(user[order], np.arange(users + 1)), recording[order].astype(np.int32))


def recall(x, y, idx, seen, test):
    """Return the mean, over users with held-out rows, of hits in the top 20 / held-out rows.

    Recordings that the user has seen are left out of the top 20.
    """
    users = len(x)
    mask, want = lists(*seen, users), lists(*test, users)
    got = top_k(x, y, idx, mask, K)
    hit = np.isin(got.row * 10**7 + got.idx, test[0] * 10**7 + test[1])
    hits, held = np.bincount(got.row[hit], minlength=users), np.diff(want.offsets)
    return (hits[held > 0] / held[held > 0]).mean()


def factors(frame, size, rank):
    table = frame.toArrow()
    out = np.zeros((size, rank), np.float32)
    out[table["idx"].to_numpy()] = np.stack(table["factors"].to_pylist())
    return out


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_both_engines_beat_popularity_2_4_times_and_agree_within_5_percent(spark, config):
    c = config("train.rank=64")
    pipeline.import_log(c, Options(quiet=True), "lastfm-2k", str(shared_data("lastfm-2k")))
    flow = Flow(c, spark, Tracker(c.mlflow, None, "t", "t"))
    for name in ("ids", "daily", "taste", "interactions"):
        flow.run(stages.BY_NAME[name])
    context = flow.context(stages.BY_NAME["train"])
    data = stages.training_set(
        {name: flow.store.read(name, v) for name, v in context.versions.items()}, context
    ).toPandas()
    data = data.sort_values(["user_idx", "recording_idx"]).reset_index(drop=True)
    user, recording = data["user_idx"].to_numpy(np.int64), data["recording_idx"].to_numpy(np.int64)
    users, recordings = user.max() + 1, recording.max() + 1
    rng = np.random.default_rng(0)
    test = held_out(user, 0.2, rng)
    valid = np.zeros(len(user), bool)
    valid[~test] = held_out(user[~test], 0.2, rng)

    def pairs(mask):
        return user[mask], recording[mask]

    def fitted(engine, reg, alpha, mask):
        settings = config(f"train.engine={engine}", f"train.reg={reg}", f"train.alpha={alpha}").train
        fit = train(spark.createDataFrame(data[mask]), settings)
        return factors(fit.users, users, fit.rank), factors(fit.recordings, recordings, fit.rank)

    idx = np.arange(recordings, dtype=np.int32)
    popular = np.bincount(recording[~test], minlength=recordings).astype(np.float32)[:, None]
    base = recall(np.ones((users, 1), np.float32), popular, idx, pairs(~test), pairs(test))
    found = {}
    for engine in ("implicit", "mllib"):
        tuned = {
            (reg, alpha): recall(
                *fitted(engine, reg, alpha, ~test & ~valid), idx, pairs(~test & ~valid), pairs(valid)
            )
            for reg, alpha in GRID
        }
        best = max(tuned, key=tuned.get)
        found[engine] = recall(*fitted(engine, *best, ~test), idx, pairs(~test), pairs(test))
        print(
            f"{engine}: best λ, α {best}, validation {tuned[best]:.4f}, test recall@20 {found[engine]:.4f} = {found[engine] / base:.2f} × popularity {base:.4f}"
        )
    assert min(found.values()) >= 2.4 * base
    assert max(found.values()) <= 1.05 * min(found.values())
