"""Compute recording factors from fixed user factors, by conjugate gradient for all recordings at once.

This is the recording half-step of training. Each recording has its own system of equations and its own step
sizes. The caller holds factors, residuals and directions [recordings, rank], but not the users. In every
step, each block of users computes Σ_u a_ui x_u (x_u·p_i) over its users; these sums are added up over the
blocks. `Descent` explains the symbols.
"""

from dataclasses import dataclass

import numpy as np

from trackpools.core.arrays.array_types import Float64Array
from trackpools.errors import ModelError

# A recording is not moved any more if its squared residual, as the preconditioner weighs it, is at most this.
SOLVED = 1e-30


def eigenbasis(gram: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return the eigenvalues [rank] and the eigenvectors [rank, rank] (as columns) of a Gram matrix.

    Eigenvalues below 1e-20 are replaced by 1e-20, because callers divide by them.
    """
    spectrum, basis = np.linalg.eigh(gram)
    return np.maximum(spectrum, 1e-20), basis


def check_finite(iteration: int, loss: float) -> float:
    """Return the loss if it is finite.

    Raises:
        ModelError: if the loss is NaN or infinite.
    """
    if not np.isfinite(loss):
        raise ModelError(
            f"training diverged: the loss of iteration {iteration} is {loss}; raise train.reg or lower train.alpha"
        )
    return loss


def has_converged(curve: list[float], tolerance: float) -> bool:
    """Return whether the last iteration lowered the loss by at most `tolerance` times the new loss."""
    return len(curve) > 1 and curve[-2] - curve[-1] <= tolerance * curve[-1]


@dataclass
class Descent:
    """The state of preconditioned conjugate gradient for all recordings, float64.

    For each recording i, it solves (XᵀX + λ_i + Σ_u a_ui x_u x_uᵀ) y_i = Σ_u c_ui x_u. The rows x_u of X are
    the user factors, c is the confidence, and a = c − 1. The sum on the right is over users with positive
    evidence. The preconditioner is XᵀX + λ_i.

    Attributes:
        y: [recordings, rank], the factors; `step` improves them.
        residual: [recordings, rank], the right side of the equations minus the left side.
        gram: XᵀX of the users [rank, rank].
        penalty: λ_i [recordings].
        spectrum, basis: eigenvalues and eigenvectors of `gram`, see `eigenbasis`.
        p: [recordings, rank], the directions of the next step; the caller must compute the argument
            `observed` of `step` from them.
        rz: [recordings], the squared residual, as the preconditioner weighs it.
    """

    y: Float64Array
    residual: Float64Array
    gram: Float64Array
    penalty: Float64Array
    spectrum: Float64Array
    basis: Float64Array
    p: Float64Array
    rz: Float64Array

    @classmethod
    def start(
        cls, y: Float64Array, observed: Float64Array, gram: Float64Array, penalty: Float64Array
    ) -> "Descent":
        """Return the state before the first step.

        Args:
            y: the factors from which to start, [recordings, rank].
            observed: what `kernels.residual` adds to `out` for `y`, over all blocks, [recordings, rank].
            gram: XᵀX of the users [rank, rank].
            penalty: λ_i [recordings].
        """
        spectrum, basis = eigenbasis(gram)
        residual = observed - y @ gram - penalty[:, None] * y
        made = cls(y.copy(), residual, gram, penalty, spectrum, basis, residual, np.zeros(len(y)))
        z = made._preconditioned()
        made.p, made.rz = z, (residual * z).sum(axis=1)
        return made

    def _preconditioned(self) -> Float64Array:
        solved: Float64Array = (
            (self.residual @ self.basis) / (self.spectrum + self.penalty[:, None])
        ) @ self.basis.T
        return solved

    def step(self, observed: Float64Array) -> None:
        """Do one step along `p`, and compute the next `p`.

        Args:
            observed: Σ_u a_ui x_u (x_u·p_i) for each recording i and the present `p`, [recordings, rank].
                This is what `kernels.product` adds to `out` over all blocks.
        """
        ap = observed + self.p @ self.gram + self.penalty[:, None] * self.p
        moving = self.rz > SOLVED  # recordings that are solved already are not moved
        alpha = np.where(moving, self.rz / np.where(moving, (self.p * ap).sum(axis=1), 1.0), 0.0)
        self.y += alpha[:, None] * self.p
        self.residual -= alpha[:, None] * ap
        z = self._preconditioned()
        following = (self.residual * z).sum(axis=1)
        self.p = z + np.where(moving, following / np.where(moving, self.rz, 1.0), 0.0)[:, None] * self.p
        self.rz = following
