"""The objective of design.md in plain NumPy: slow, obvious, the oracle of every engine.

    Σ_ui c_ui (p_ui − x_u·y_i)² + λ (Σ_u (n_u + α₀|I|)^ν ‖x_u‖² + Σ_i (n_i + α₀|U|)^ν ‖y_i‖²)

over all users × recordings: c = 1 + α·w⁺, p = 1 for positive evidence; c = 1 + β·w⁻, p = 0 for only negative evidence; c = 1,
p = 0 for the unobserved (Hu et al. 2008, regularisation of Rendle et al. 2021; n counts positives).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """Dense confidences `c` and preferences `p`, both [users, recordings] float64, and the regularisation."""

    c: Matrix
    p: Matrix
    reg: float
    nu: float
    alpha0: float = 0.0

    def penalties(self) -> tuple[Matrix, Matrix]:
        """λ(n + α₀·other side)^ν for every user and every recording."""
        users, recordings = self.p.shape
        per_user = self.reg * (self.p.sum(axis=1) + self.alpha0 * recordings) ** self.nu
        return per_user, self.reg * (self.p.sum(axis=0) + self.alpha0 * users) ** self.nu


def problem(
    positive: Matrix,
    negative: Matrix,
    *,
    alpha: float,
    beta: float,
    reg: float,
    nu: float,
    alpha0: float = 0.0,
) -> Problem:
    """Confidences and preferences from dense weights w⁺ and w⁻, both [users, recordings]."""
    liked = positive > 0
    return Problem(
        np.where(liked, 1 + alpha * positive, 1 + beta * negative), liked.astype(np.float64), reg, nu, alpha0
    )


def loss(x: Matrix, y: Matrix, of: Problem) -> float:
    """The objective at user factors `x` [users, rank] and recording factors `y` [recordings, rank]."""
    per_user, per_recording = of.penalties()
    fit = (of.c * (of.p - x @ y.T) ** 2).sum()
    return float(fit + (per_user * (x**2).sum(axis=1)).sum() + (per_recording * (y**2).sum(axis=1)).sum())


def user_half_step(y: Matrix, of: Problem) -> Matrix:
    """The exact minimiser x [users, rank] for fixed `y`: one normal equation a user."""
    per_user, _ = of.penalties()
    rank = y.shape[1]
    solved = [
        np.linalg.solve(y.T @ (c[:, None] * y) + lam * np.eye(rank), y.T @ (c * p))
        for c, p, lam in zip(of.c, of.p, per_user, strict=True)
    ]
    return np.stack(solved)


def recording_half_step(x: Matrix, of: Problem) -> Matrix:
    """The exact minimiser y [recordings, rank] for fixed `x`."""
    _, per_recording = of.penalties()
    rank = x.shape[1]
    solved = [
        np.linalg.solve(x.T @ (c[:, None] * x) + lam * np.eye(rank), x.T @ (c * p))
        for c, p, lam in zip(of.c.T, of.p.T, per_recording, strict=True)
    ]
    return np.stack(solved)


def conjugate_gradient(
    y: Matrix, c: Matrix, p: Matrix, penalty: Matrix, *, steps: int, start: Matrix
) -> Matrix:
    """`steps` of conjugate gradient from `start` on every row's normal equations, preconditioned by YᵀY + λ, which all rows share.

    The half-step of `blocked`: users from zero; recordings, with users for `y` and c and p transposed, from their last factors.
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
