"""The inner loops of `blocked` and of fold-in, compiled by numba: one thread, float32, rows of one user after another.

A block of users is a CSR matrix: `indptr` int64 [users + 1], `columns` int32, `values` float32, where v > 0 is α·w⁺ (p = 1, c = 1 + v)
and v < 0 is −β·w⁻ (p = 0, c = 1 − v).

Factors stand in the eigenbasis of their Gram matrix YᵀY = V·diag(s)·Vᵀ, an orthogonal change that leaves every score as it was. There
the part of the normal equations that all recordings share is the diagonal s + λ_u, so it costs rank instead of rank² products, and
dividing by it is a preconditioner for nothing: conjugate gradient from zero needs few steps and no earlier solution, which makes x_u a
pure function of the user's row and Y.
"""

from typing import Any

import numpy as np

from trackpools.core.compiled import njit

GATHERED = 4096  # rows of Y copied side by side for the steps of one user; a longer history reads them where they stand
FLAT = 1e-30  # a squared residual below it is solved


@njit(nogil=True, cache=True, fastmath=True)
def conjugate_gradient(
    indptr: Any,
    columns: Any,
    values: Any,
    y: Any,
    spectrum: Any,
    penalty: Any,
    toward: Any,
    steps: int,
    x: Any,
) -> None:
    """User factors by `steps` of preconditioned conjugate gradient from zero.

    Args:
        y: recording factors float32 [recordings, rank] in the eigenbasis of their Gram matrix.
        spectrum: eigenvalues of the Gram matrix, float32 [rank].
        penalty: λ_u, float32 [users].
        toward: a_u of the penalty λ_u‖x_u − a_u‖², float32 [users, rank]; [0, rank] for none.
        x: result, float32 [users, rank].
    """
    rank = y.shape[1]
    users = len(indptr) - 1
    gathered = np.empty((GATHERED, rank), np.float32)
    residual, p, ap, diagonal, s = np.empty((5, rank), np.float32)
    for u in range(users):
        start, n = indptr[u], indptr[u + 1] - indptr[u]
        near = n <= GATHERED
        for k in range(rank):
            diagonal[k] = spectrum[k] + penalty[u]
            residual[k] = penalty[u] * toward[u, k] if len(toward) else 0.0
            s[k] = 0.0
        for j in range(n):
            row = y[columns[start + j]]
            if near:
                gathered[j, :] = row
            if values[start + j] > 0:
                c = np.float32(1.0) + values[start + j]
                for k in range(rank):
                    residual[k] += c * row[k]
        rz = np.float32(0.0)
        for k in range(rank):
            p[k] = residual[k] / diagonal[k]
            rz += residual[k] * p[k]
        for _ in range(steps):
            if rz <= FLAT:
                break
            for k in range(rank):
                ap[k] = diagonal[k] * p[k]
            for j in range(n):
                row = gathered[j] if near else y[columns[start + j]]
                dot = np.float32(0.0)
                for k in range(rank):
                    dot += row[k] * p[k]
                dot *= abs(values[start + j])
                for k in range(rank):
                    ap[k] += dot * row[k]
            pap = np.float32(0.0)
            for k in range(rank):
                pap += p[k] * ap[k]
            step = rz / pap
            following = np.float32(0.0)
            for k in range(rank):
                s[k] += step * p[k]
                residual[k] -= step * ap[k]
                following += residual[k] * residual[k] / diagonal[k]
            ratio = following / rz
            rz = following
            for k in range(rank):
                p[k] = residual[k] / diagonal[k] + ratio * p[k]
        x[u, :] = s


@njit(nogil=True, cache=True)
def cholesky(
    indptr: Any, columns: Any, values: Any, y: Any, spectrum: Any, penalty: Any, toward: Any, x: Any
) -> None:
    """User factors by the exact normal equations in float64; arguments as `conjugate_gradient`."""
    rank = y.shape[1]
    a, b = np.empty((rank, rank)), np.empty(rank)
    for u in range(len(indptr) - 1):
        a[:, :] = 0.0
        for k in range(rank):
            a[k, k] = spectrum[k] + penalty[u]
            b[k] = penalty[u] * toward[u, k] if len(toward) else 0.0
        for j in range(indptr[u], indptr[u + 1]):
            row, v = y[columns[j]], np.float64(values[j])
            for k in range(rank):
                scaled = abs(v) * row[k]
                for m in range(k + 1):
                    a[k, m] += scaled * row[m]
                if v > 0:
                    b[k] += (1 + v) * row[k]
        for k in range(rank):  # a becomes L of A = L·Lᵀ, row by row
            for m in range(k):
                total = a[k, m]
                for q in range(m):
                    total -= a[k, q] * a[m, q]
                a[k, m] = total / a[m, m]
            total = a[k, k]
            for q in range(k):
                total -= a[k, q] * a[k, q]
            a[k, k] = np.sqrt(total)
        for k in range(rank):
            for q in range(k):
                b[k] -= a[k, q] * b[q]
            b[k] /= a[k, k]
        for k in range(rank - 1, -1, -1):
            for q in range(k + 1, rank):
                b[k] -= a[q, k] * b[q]
            b[k] /= a[k, k]
        x[u, :] = b.astype(np.float32)


@njit(nogil=True, cache=True, fastmath=True)
def residual(indptr: Any, columns: Any, values: Any, x: Any, y: Any, out: Any) -> float:
    """Add the observed part of the recordings' residual, Σ_u (c·p − a·x_u·y_i) x_u with a = c − 1, to `out` [recordings, rank].

    Returns the observed part of the loss at (x, y), which costs nothing here: Σ c(p − x·y)² − (x·y)².
    """
    rank = y.shape[1]
    loss = 0.0
    for u in range(len(indptr) - 1):
        for j in range(indptr[u], indptr[u + 1]):
            v, row, to = values[j], y[columns[j]], out[columns[j]]
            dot = np.float32(0.0)
            for k in range(rank):
                dot += row[k] * x[u, k]
            if v > 0:
                weight = np.float32(1.0) + v - v * dot
                loss += (1.0 + v) * (1.0 - dot) * (1.0 - dot) - dot * dot
            else:
                weight = v * dot
                loss -= v * dot * dot
            for k in range(rank):
                to[k] += weight * x[u, k]
    return loss


@njit(nogil=True, cache=True, fastmath=True)
def product(indptr: Any, columns: Any, values: Any, x: Any, p: Any, out: Any) -> None:
    """Add Σ_u a_ui (x_u·p_i) x_u to `out` float32 [recordings, rank], for directions `p` of the recordings."""
    rank = p.shape[1]
    for u in range(len(indptr) - 1):
        for j in range(indptr[u], indptr[u + 1]):
            row, to = p[columns[j]], out[columns[j]]
            dot = np.float32(0.0)
            for k in range(rank):
                dot += row[k] * x[u, k]
            dot *= abs(values[j])
            for k in range(rank):
                to[k] += dot * x[u, k]
