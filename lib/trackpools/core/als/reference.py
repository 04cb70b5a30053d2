"""The training objective in plain NumPy: slow and simple, for tests to compare the engines with.

    Σ_ui c_ui (p_ui − x_u·y_i)² + λ (Σ_u (n_u + α₀|I|)^ν ‖x_u‖² + Σ_i (n_i + α₀|U|)^ν ‖y_i‖²)

The first sum is over all pairs of a user u and a recording i. With positive evidence, c = 1 + α·w⁺ and p = 1.
With only negative evidence, c = 1 + β·w⁻ and p = 0. Without evidence, c = 1 and p = 0. n_u and n_i count the
pairs with positive evidence; |U| and |I| are the numbers of users and recordings. The first sum follows Hu et
al. 2008, the regularisation Rendle et al. 2021.
"""

from dataclasses import dataclass

import numpy as np

from trackpools.core.arrays.array_types import Float64Array


@dataclass(frozen=True)
class Problem:
    """The numbers that define an objective.

    Attributes:
        c, p: confidences and preferences, float64 [users, recordings].
        reg, nu, alpha0: λ, ν and α₀ of the regularisation.
    """

    c: Float64Array
    p: Float64Array
    reg: float
    nu: float
    alpha0: float = 0.0

    def penalties(self) -> tuple[Float64Array, Float64Array]:
        """Return λ(n_u + α₀|I|)^ν of each user, and λ(n_i + α₀|U|)^ν of each recording."""
        users, recordings = self.p.shape
        per_user = self.reg * (self.p.sum(axis=1) + self.alpha0 * recordings) ** self.nu
        return per_user, self.reg * (self.p.sum(axis=0) + self.alpha0 * users) ** self.nu


def problem(
    positive: Float64Array,
    negative: Float64Array,
    *,
    alpha: float,
    beta: float,
    reg: float,
    nu: float,
    alpha0: float = 0.0,
) -> Problem:
    """Build the problem from the weights `positive` (w⁺) and `negative` (w⁻), float64 [users, recordings]."""
    liked = positive > 0
    return Problem(
        np.where(liked, 1 + alpha * positive, 1 + beta * negative), liked.astype(np.float64), reg, nu, alpha0
    )


def loss(x: Float64Array, y: Float64Array, of: Problem) -> float:
    """Return the objective at user factors `x` [users, rank] and recording factors `y` [recordings, rank]."""
    per_user, per_recording = of.penalties()
    fit = (of.c * (of.p - x @ y.T) ** 2).sum()
    return float(fit + (per_user * (x**2).sum(axis=1)).sum() + (per_recording * (y**2).sum(axis=1)).sum())


def user_half_step(y: Float64Array, of: Problem) -> Float64Array:
    """Return the x [users, rank] that minimises the objective for fixed `y`: one linear system per user."""
    per_user, _ = of.penalties()
    rank = y.shape[1]
    solved = [
        np.linalg.solve(y.T @ (c[:, None] * y) + lam * np.eye(rank), y.T @ (c * p))
        for c, p, lam in zip(of.c, of.p, per_user, strict=True)
    ]
    return np.stack(solved)


def recording_half_step(x: Float64Array, of: Problem) -> Float64Array:
    """Return the y [recordings, rank] that minimises the objective for fixed `x`."""
    _, per_recording = of.penalties()
    rank = x.shape[1]
    solved = [
        np.linalg.solve(x.T @ (c[:, None] * x) + lam * np.eye(rank), x.T @ (c * p))
        for c, p, lam in zip(of.c.T, of.p.T, per_recording, strict=True)
    ]
    return np.stack(solved)


def conjugate_gradient(
    y: Float64Array,
    c: Float64Array,
    p: Float64Array,
    penalty: Float64Array,
    *,
    steps: int,
    start: Float64Array,
) -> Float64Array:
    """Return factors [rows, rank] after some steps of conjugate gradient on each row's normal equations.

    The preconditioner of a row is YᵀY + λ. This is the half-step of `shell.training.blocked`. In the
    half-step of the users, the rows are users, who start from zero. In that of the recordings, the rows are
    recordings, which start from their last factors; `y` is then the user factors, and `c` and `p` are
    transposed.

    Args:
        y: fixed factors of the other side [columns, rank].
        c, p: confidences and preferences [rows, columns].
        penalty: λ of each row [rows].
        steps: number of steps.
        start: factors from which to start [rows, rank].
    """
    gram, eye = y.T @ y, np.eye(y.shape[1])
    solved = []
    for weights, likes, lam, first in zip(c, p, penalty, start, strict=True):
        x = first
        shared = gram + lam * eye
        a = shared + y.T @ ((weights - 1)[:, None] * y)
        residual = y.T @ (weights * likes) - a @ x
        z = np.linalg.solve(shared, residual)
        direction = z
        for _ in range(steps):
            if residual @ z == 0:
                break
            step = (residual @ z) / (direction @ a @ direction)
            x = x + step * direction
            following = residual - step * (a @ direction)
            z_following = np.linalg.solve(shared, following)
            direction = z_following + (following @ z_following) / (residual @ z) * direction
            residual, z = following, z_following
        solved.append(x)
    return np.stack(solved)
