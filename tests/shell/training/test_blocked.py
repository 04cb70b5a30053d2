"""Tests of the `blocked` engine on Spark: passes that lose their files, and the fold-in of all users."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from trackpools.core.als import reference
from trackpools.core.als.fold_in_users import fold_in, signed_values
from trackpools.core.als.item_solver import eigenbasis
from trackpools.errors import InputError
from trackpools.shell.training import block_pass, blocked
from trackpools.shell.training.checkpoints import Checkpoint, CheckpointStore
from trackpools.shell.training.striped import Striped

SCHEMA = "user_idx int, recording_idx int, positive double, negative double"
USERS, RECORDINGS, RANK = 50, 30, 5


@pytest.fixture(scope="module")
def evidence():
    rng = np.random.default_rng(4)
    positive = np.where(rng.random((USERS, RECORDINGS)) < 0.3, rng.gamma(1.0, 2.0, (USERS, RECORDINGS)), 0.0)
    positive[np.arange(USERS), np.arange(USERS) % RECORDINGS] = 1.0
    return positive


@pytest.fixture
def training(spark, evidence):
    return spark.createDataFrame(
        [
            (int(u) * 2 + 1, int(i) * 3, float(evidence[u, i]), 0.0)
            for u, i in zip(*np.nonzero(evidence), strict=True)
        ],
        SCHEMA,
    )


@pytest.fixture
def passes(training, config):
    """Yield passes over four blocks on this machine's files, and the folder of the run."""
    train = config("train.engine=blocked", f"train.rank={RANK}", "train.blocks=4").train
    rows, place = signed_values(training, train), block_pass.TrainingScratch.create(single_machine=True)
    catalogue, *_ = blocked._catalogue(rows)
    frame = blocked._blocks(rows, 4, catalogue, place)
    yield blocked.Passes(frame, train, place, (len(catalogue), RANK)), place.folder
    frame.unpersist()
    place.forget()


@pytest.mark.parametrize("lost", [("1",), ("0", "3"), ("2/x-0.npy",), ("0", "1", "2", "3")])
def test_lost_files_are_rebuilt_and_change_no_bit(passes, lost):
    of, folder = passes
    rng = np.random.default_rng(8)
    y, p = rng.normal(size=(RECORDINGS, RANK)), rng.normal(size=(RECORDINGS, RANK))
    spectrum, basis = eigenbasis(y.T @ y)
    whole = of.half_step(0, y @ basis, spectrum)
    product = of.product(p)
    for name in lost:
        where = folder / name
        where.unlink() if where.is_file() else shutil.rmtree(where)
    assert of.product(p).tobytes() == product.tobytes()
    for name in lost:
        where = folder / name
        where.unlink() if where.is_file() else shutil.rmtree(where)
    again = of.half_step(0, y @ basis, spectrum)
    assert (again.partial.tobytes(), again.gram.tobytes(), again.loss) == (
        whole.partial.tobytes(),
        whole.gram.tobytes(),
        whole.loss,
    )


def test_all_users_are_folded_in_to_the_optimum_whatever_the_blocks(training, config, evidence):
    train = config(
        "train.engine=blocked", f"train.rank={RANK}", "train.user_steps=0", "train.reg=0.5", "train.alpha=2"
    ).train
    y = np.random.default_rng(1).normal(size=(RECORDINGS, RANK))
    catalogue = np.arange(0, 3 * RECORDINGS, 3, dtype=np.int32)
    rows = signed_values(training, train)
    found = sorted(fold_in(rows, catalogue, y, train).collect())
    of = reference.problem(evidence, np.zeros_like(evidence), alpha=2.0, beta=0.0, reg=0.5, nu=1.0)
    assert [row["idx"] for row in found] == list(range(1, 2 * USERS, 2))
    assert np.array([row["factors"] for row in found]) == pytest.approx(
        reference.user_half_step(y, of), rel=1e-3, abs=1e-5
    )
    other = config(
        "train.engine=blocked",
        f"train.rank={RANK}",
        "train.user_steps=0",
        "train.reg=0.5",
        "train.alpha=2",
        "train.blocks=9",
    ).train
    assert sorted(fold_in(rows.repartition(5), catalogue, y, other).collect()) == found


def test_no_file_stays_behind(training, config):
    before = set(Path(tempfile.gettempdir()).glob(block_pass.PREFIX + "*"))
    train = config("train.engine=blocked", f"train.rank={RANK}", "train.iterations=2", "train.reg=0.5").train
    users, recordings, curve = blocked.fit(training, train, RANK)
    assert (users.count(), recordings.count(), len(curve)) == (USERS, RECORDINGS, 2)
    assert set(Path(tempfile.gettempdir()).glob(block_pass.PREFIX + "*")) == before


def test_a_block_too_large_is_refused_before_anything_moves(training, config, monkeypatch):
    monkeypatch.setattr("trackpools.core.als.memory_plan.GIB", 100)
    with pytest.raises(InputError, match="blocked cannot train") as refused:
        blocked.fit(training, config("train.engine=blocked").train, RANK)
    assert len(refused.value.problems) == 2


def test_a_killed_training_goes_on_from_its_last_iteration_to_the_same_bits(training, config, tmp_path):
    def fit(folder, progress=lambda _: None):
        keys = (
            f"train.rank={RANK}",
            "train.iterations=3",
            "train.reg=0.5",
            "train.save_every_s=0",
            f"train.checkpoint_dir={tmp_path / folder}",
        )
        users, recordings, curve = blocked.fit(
            training, config("train.engine=blocked", *keys).train, RANK, progress
        )
        return sorted(users.collect()), sorted(recordings.collect()), curve

    seen, told = [], []

    def killed(loss):
        seen.append(loss)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("killed", killed)
    found = fit("killed", told.append)
    assert found == fit("calm")
    assert (seen, told) == (found[2][:2], found[2][2:]), "only the last iteration was left to do"


def test_a_checkpoint_is_loaded_only_if_complete_and_of_the_same_training(spark, config, tmp_path):
    train = config(f"train.checkpoint_dir={tmp_path}", "train.save_every_s=0").train
    data = (np.arange(4), np.ones(4))
    journal = CheckpointStore.of(spark, train, "code", data)
    start = Checkpoint(np.zeros((4, 3)), [])
    for n in (1, 2):
        journal.save(Checkpoint(np.full((4, 3), n / 7), [1.0] * n))
    found = CheckpointStore.of(spark, train, "code", data).load(start)
    assert (found.y.tobytes(), found.curve) == (np.full((4, 3), 2 / 7).tobytes(), [1.0, 1.0])
    for part in (Path(journal.folder) / "a").glob(
        "*.parquet"
    ):  # a kill after the old file was removed and before the new one was in place
        part.unlink()
    assert len(CheckpointStore.of(spark, train, "code", data).load(start).curve) == 1
    for settings, other in (
        (train.model_copy(update={"reg": 3.0}), data),
        (train, (np.arange(4), np.zeros(4))),
    ):
        assert CheckpointStore.of(spark, settings, "code", other).load(start) is start
    assert CheckpointStore.of(spark, train, "other code", data).load(start) is start
    assert CheckpointStore.of(spark, config().train, "code", data).folder is None


@pytest.mark.soak
def test_stripes_give_the_same_factors_as_the_driver(training, config, tmp_path):
    keys = (
        "train.engine=blocked",
        "train.iterations=2",
        "train.reg=0.5",
        "train.alpha0=0.01",
        "train.nu=0.5",
        f"train.checkpoint_dir={tmp_path}",
    )
    users, recordings, curve = blocked.fit(training, config(*keys).train, RANK)
    whole = sorted(users.collect()), sorted(recordings.collect())
    for rows in (1, 7):
        told = []
        striped = blocked.fit(
            training, config(*keys, f"train.stripe_bytes={4 * RANK * rows}").train, RANK, told.append
        )
        assert striped[2] == told == pytest.approx(curve, rel=1e-9)
        found = [sorted(frame.collect()) for frame in striped[:2]]
        assert [[row["idx"] for row in side] for side in found] == [
            [row["idx"] for row in side] for side in whole
        ]
        scores = [
            np.array([row["factors"] for row in users]) @ np.array([row["factors"] for row in recordings]).T
            for users, recordings in (found, whole)
        ]
        assert scores[0] == pytest.approx(scores[1], rel=1e-3, abs=1e-4)


@pytest.mark.soak
def test_stripes_of_a_killed_training_with_lost_files_give_the_same_bits(
    training, config, tmp_path, monkeypatch
):
    def fit(folder, progress=lambda _: None):
        keys = (
            f"train.rank={RANK}",
            "train.iterations=2",
            "train.reg=0.5",
            f"train.stripe_bytes={4 * RANK * 11}",
            f"train.checkpoint_dir={tmp_path / folder}",
        )
        users, recordings, curve = blocked.fit(
            training, config("train.engine=blocked", *keys).train, RANK, progress
        )
        return sorted(users.collect()), sorted(recordings.collect()), curve

    def killed(_):
        raise KeyboardInterrupt

    calm, run, lost = fit("calm"), Striped._pass, []

    def losing(self, name, *given, **named):
        if name == "pass-1":
            files = [
                *(self.place.folder / "0").glob("x-*"),
                *(self.place.folder / "2").iterdir(),
            ]  # the files of a block, and only those of x
            lost.extend(file.unlink() or file for file in files)
        return run(self, name, *given, **named)

    with pytest.raises(KeyboardInterrupt):
        fit("killed", killed)
    monkeypatch.setattr(Striped, "_pass", losing)
    told = []
    assert fit("killed", told.append) == calm
    assert (told, len(lost)) == (calm[2][1:], 6), "one iteration was left to do, and lost files"
