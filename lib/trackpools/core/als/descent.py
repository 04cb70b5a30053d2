"""The recording half-step: preconditioned conjugate gradient for all recordings at once, each with step sizes of its own.

The driver holds factors, residuals and directions [recordings, rank]; what it cannot hold, the users, answers with products
Σ_u a_ui x_u (x_u·p_i) that are summed over blocks of users.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trackpools.errors import ModelError

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
FLAT = 1e-30


def eigenbasis(gram: Matrix) -> tuple[Vector, Matrix]:
    """Eigenvalues and the orthogonal basis of a Gram matrix [rank, rank]; eigenvalues are above 0, for they divide."""
    spectrum, basis = np.linalg.eigh(gram)
    return np.maximum(spectrum, 1e-20), basis


def finite(iteration: int, loss: float) -> float:
    """The loss.

    Raises:
        ModelError: where it is not finite.
    """
    if not np.isfinite(loss):
        raise ModelError(f"the loss of iteration {iteration} is {loss}; raise train.reg or lower train.alpha")
    return loss


def settled(curve: list[float], tolerance: float) -> bool:
    """Whether the last iteration lowered the loss by no more than this share of itself."""
    return len(curve) > 1 and curve[-2] - curve[-1] <= tolerance * curve[-1]


@dataclass
class Descent:
    """Conjugate gradient on (G + λ_i + Σ_u a_ui x_u x_uᵀ) y_i = Σ_u c_ui p_ui x_u, preconditioned by its first two terms.

    Attributes:
        y: factors [recordings, rank] float64, improved by `step`.
        p: directions to multiply next.
    """

    y: Matrix
    residual: Matrix
    gram: Matrix
    penalty: Vector
    spectrum: Vector
    basis: Matrix
    p: Matrix
    rz: Vector

    @classmethod
    def start(cls, y: Matrix, observed: Matrix, gram: Matrix, penalty: Vector) -> "Descent":
        """From factors `y`, the observed residual that `kernels.residual` sums up, G = XᵀX, and λ_i."""
        spectrum, basis = eigenbasis(gram)
        residual = observed - y @ gram - penalty[:, None] * y
        made = cls(y.copy(), residual, gram, penalty, spectrum, basis, residual, np.zeros(len(y)))
        z = made._preconditioned()
        made.p, made.rz = z, (residual * z).sum(axis=1)
        return made

    def _preconditioned(self) -> Matrix:
        solved: Matrix = (
            (self.residual @ self.basis) / (self.spectrum + self.penalty[:, None])
        ) @ self.basis.T
        return solved

    def step(self, observed: Matrix) -> None:
        """One step along `p`, whose observed products Σ_u a_ui x_u (x_u·p_i) are `observed`."""
        ap = observed + self.p @ self.gram + self.penalty[:, None] * self.p
        moving = self.rz > FLAT  # a recording that is solved stays where it is
        alpha = np.where(moving, self.rz / np.where(moving, (self.p * ap).sum(axis=1), 1.0), 0.0)
        self.y += alpha[:, None] * self.p
        self.residual -= alpha[:, None] * ap
        z = self._preconditioned()
        following = (self.residual * z).sum(axis=1)
        self.p = z + np.where(moving, following / np.where(moving, self.rz, 1.0), 0.0)[:, None] * self.p
        self.rz = following
