"""Tests of the compiled half-steps against the NumPy reference, iteration by iteration."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackpools.core.als import kernels, reference
from trackpools.core.als.blocks import Block, pack
from trackpools.core.als.fold_in_users import HalfStep
from trackpools.core.als.item_solver import Descent, eigenbasis

USERS, RECORDINGS, RANK = 70, 40, 8


def evidence(seed, users=USERS, recordings=RECORDINGS):
    """Return arrays (w⁺, w⁻) of shape [users, recordings].

    User 0 has no positive, user 1 has no evidence at all, and user 2 has a positive for every recording.
    """
    rng = np.random.default_rng(seed)
    positive = np.where(rng.random((users, recordings)) < 0.2, rng.gamma(1.0, 2.0, (users, recordings)), 0.0)
    negative = np.where(rng.random((users, recordings)) < 0.1, rng.gamma(1.0, 2.0, (users, recordings)), 0.0)
    positive[0] = 0.0
    positive[1] = negative[1] = 0.0
    positive[2] = 1.0
    return positive, negative


class InProcessPasses:
    """Run passes over blocks in this process, and keep the scores of each half-step."""

    def __init__(self, positive, negative, config, blocks):
        values = np.where(positive > 0, config.alpha * positive, -config.beta * negative).astype(np.float32)
        rows, columns = np.nonzero(values)
        self.config, self.shape, self.seen = config, (positive.shape[1], 0), []
        self.blocks = []
        for number in range(blocks):
            mine = rows % blocks == number
            self.blocks.append(
                pack(
                    rows[mine],
                    columns[mine],
                    values[rows[mine], columns[mine]],
                    np.arange(positive.shape[1], dtype=np.int32),
                )
            )

    def half_step(self, _, y, spectrum):
        half, y32 = HalfStep.of(spectrum, len(y), self.config), y.astype(np.float32)
        self.x = [half.solve(block, y32) for block in self.blocks]
        partial, loss, gram, penalty = np.zeros(y.shape), 0.0, 0.0, 0.0
        for block, x in zip(self.blocks, self.x, strict=True):
            out = np.zeros_like(y32)
            loss += kernels.residual(block.indptr, block.columns, block.values, x, y32, out)
            partial, gram = partial + out, gram + x.astype(float).T @ x.astype(float)
            penalty += float(half.penalties(block) @ (x.astype(float) ** 2).sum(axis=1))
        scores = np.zeros((USERS, len(y)))
        for block, x in zip(self.blocks, self.x, strict=True):
            scores[block.users] = x.astype(float) @ y.T
        self.seen.append(scores)
        return SimpleNamespace(partial=partial, gram=gram, loss=loss, penalty=penalty)

    def product(self, p):
        total = np.zeros(p.shape)
        for block, x in zip(self.blocks, self.x, strict=True):
            out = np.zeros(p.shape, np.float32)
            kernels.product(block.indptr, block.columns, block.values, x, p.astype(np.float32), out)
            total += out
        return total


def run_descent(config, of, positive, negative, blocks=3):
    """Return the start, the scores of each half-step, the loss curve and the last recording factors.

    This runs `blocked` without Spark.
    """
    from trackpools.shell.training.blocked import descend
    from trackpools.shell.training.checkpoints import Checkpoint

    whole = InProcessPasses(positive, negative, config, blocks)
    start = np.random.default_rng(3).normal(size=(RECORDINGS, RANK)) / 3
    y, curve = descend(whole, Checkpoint(start, []), of.penalties()[1], config)
    return start, whole.seen, curve, y


@pytest.mark.parametrize(("nu", "alpha0", "beta"), [(0.0, 0.0, 0.0), (1.0, 0.0, 2.0), (0.5, 0.3, 2.0)])
def test_with_cholesky_every_iteration_is_that_of_the_reference(config, nu, alpha0, beta):
    positive, negative = evidence(1)
    train = config(
        "train.engine=blocked",
        f"train.nu={nu}",
        f"train.alpha0={alpha0}",
        f"train.beta={beta}",
        "train.alpha=3",
        "train.reg=0.7",
        "train.user_steps=0",
        "train.recording_steps=60",
        "train.iterations=6",
    ).train
    of = reference.problem(positive, negative, alpha=3.0, beta=beta, reg=0.7, nu=nu, alpha0=alpha0)
    y, seen, curve, last = run_descent(train, of, positive, negative)
    for scores, loss in zip(seen, curve, strict=True):
        x = reference.user_half_step(y, of)
        assert np.linalg.norm(scores - x @ y.T) <= 1e-5 * np.linalg.norm(x @ y.T)
        assert loss == pytest.approx(reference.loss(x, y, of), rel=1e-5)
        y = reference.recording_half_step(x, of)
    assert np.linalg.norm(last.T @ last, 2) == pytest.approx(np.linalg.norm(y.T @ y, 2), rel=1e-5)


@pytest.mark.parametrize(("nu", "alpha0", "beta"), [(0.0, 0.0, 0.0), (1.0, 0.1, 2.0)])
def test_with_conjugate_gradient_every_iteration_is_that_of_the_reference_with_equal_steps(
    config, nu, alpha0, beta
):
    positive, negative = evidence(2)
    train = config(
        "train.engine=blocked",
        f"train.nu={nu}",
        f"train.alpha0={alpha0}",
        f"train.beta={beta}",
        "train.alpha=3",
        "train.reg=0.7",
        "train.user_steps=3",
        "train.recording_steps=2",
        "train.iterations=6",
    ).train
    of = reference.problem(positive, negative, alpha=3.0, beta=beta, reg=0.7, nu=nu, alpha0=alpha0)
    y, seen, curve, _ = run_descent(train, of, positive, negative)
    per_user, per_recording = of.penalties()
    for scores, loss in zip(seen, curve, strict=True):
        x = reference.conjugate_gradient(y, of.c, of.p, per_user, steps=3, start=np.zeros((USERS, RANK)))
        assert np.linalg.norm(scores - x @ y.T) <= 1e-3 * np.linalg.norm(x @ y.T)
        assert loss == pytest.approx(reference.loss(x, y, of), rel=1e-3)
        y = reference.conjugate_gradient(x, of.c.T, of.p.T, per_recording, steps=2, start=y)


def test_a_few_steps_end_where_exact_half_steps_do(config):
    positive, negative = evidence(5)
    of = reference.problem(positive, negative, alpha=3.0, beta=2.0, reg=0.7, nu=1.0)
    train = config(
        "train.engine=blocked", "train.beta=2", "train.alpha=3", "train.reg=0.7", "train.iterations=12"
    ).train
    y, _, curve, _ = run_descent(train, of, positive, negative)
    for _ in range(11):
        x = reference.user_half_step(y, of)
        y = reference.recording_half_step(x, of)
    assert curve[-1] <= 1.005 * reference.loss(reference.user_half_step(y, of), y, of)
    assert curve == sorted(curve, reverse=True)


def test_the_number_of_blocks_moves_the_loss_by_rounding_alone_and_a_flat_curve_stops_early(config):
    positive, negative = evidence(6)
    of = reference.problem(positive, negative, alpha=3.0, beta=0.0, reg=0.7, nu=1.0)
    settings_ = ("train.engine=blocked", "train.alpha=3", "train.reg=0.7", "train.iterations=9")
    curves = [
        run_descent(config(*settings_).train, of, positive, negative, blocks)[2] for blocks in (1, 2, 7)
    ]
    assert curves[1] == pytest.approx(curves[0], rel=1e-5)
    assert curves[2] == pytest.approx(curves[0], rel=1e-5)
    stopped = run_descent(config(*settings_, "train.tolerance=0.05").train, of, positive, negative)[2]
    assert 2 <= len(stopped) < 9
    assert stopped[-2] - stopped[-1] <= 0.05 * stopped[-1]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 30))
def test_a_block_holds_its_rows_in_order_and_survives_bytes(seed, users, recordings):
    rng = np.random.default_rng(seed)
    cells = rng.random((users, recordings)) < 0.3
    catalogue = np.sort(rng.choice(100, recordings, replace=False)).astype(np.int32)
    row, column = np.nonzero(cells)
    order = rng.permutation(len(row))
    user_idx, recording_idx = np.append(row[order] * 3, 7_000), np.append(catalogue[column[order]], 1_000)
    block = pack(user_idx, recording_idx, np.arange(1.0, len(order) + 2), catalogue)
    again = Block.from_bytes(block.to_bytes())
    assert block.users.tolist() == sorted({*(row * 3).tolist(), 7_000})
    assert np.diff(again.indptr).sum() == len(order), (
        "the row of an unknown recording is left out, its user stays"
    )
    dense = np.zeros((users, recordings))
    for u, start, end in zip(again.users[:-1], again.indptr[:-2], again.indptr[1:-1], strict=True):
        assert (np.diff(again.columns[start:end]) > 0).all()
        dense[u // 3, again.columns[start:end]] = again.values[start:end]
    assert (dense[row[order], column[order]] == np.arange(1.0, len(order) + 1)).all()
    assert ((dense > 0) == cells).all()


def test_a_user_is_solved_alike_in_any_block_and_with_a_long_history():
    rng = np.random.default_rng(0)
    recordings = 3 * kernels.GATHERED
    y = rng.normal(size=(recordings, 4))
    spectrum, basis = eigenbasis(y.T @ y)
    y = (y @ basis).astype(np.float32)
    long = pack(
        np.zeros(recordings // 2, int),
        np.arange(0, recordings, 2),
        np.ones(recordings // 2),
        np.arange(recordings, dtype=np.int32),
    )
    both = pack(
        np.repeat([0, 1], [recordings // 2, 3]),
        np.append(np.arange(0, recordings, 2), [1, 2, 3]),
        np.ones(recordings // 2 + 3),
        np.arange(recordings, dtype=np.int32),
    )
    steps, exact = (HalfStep(spectrum.astype(np.float32), 1.0, 0.0, 0.0, steps) for steps in (20, 0))
    assert steps.solve(long, y).tobytes() == steps.solve(both, y)[:1].tobytes()
    assert steps.solve(long, y) == pytest.approx(exact.solve(long, y), rel=1e-3)


def test_recordings_at_their_optimum_stay_there():
    y = np.zeros((2, 3))
    descent = Descent.start(y, np.zeros((2, 3)), np.eye(3), np.ones(2))
    descent.step(np.zeros((2, 3)))
    assert (descent.y == 0).all()
