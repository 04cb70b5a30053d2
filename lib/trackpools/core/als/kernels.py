"""The inner loops of training (`shell.training.blocked`) and of fold-in, compiled by numba.

The loops run in one thread, mostly in float32, and process one user after another. `indptr`, `columns` and
`values` are a block of users, see `blocks.Block`. An entry v of `values` gives the preference p and the
confidence c of a user and a recording: v > 0 means p = 1 and c = 1 + v; v < 0 means p = 0 and c = 1 − v. For
all other recordings, p = 0 and c = 1. With a = c − 1 = |v|, these are the normal equations of user u:

    (YᵀY + λ_u + Σ_i a_ui y_i y_iᵀ) x_u = λ_u t_u + Σ_i c_ui p_ui y_i

The penalty draws x_u towards t_u, which is 0 unless `toward` is given.

`conjugate_gradient` and `cholesky` expect the recording factors in the eigenbasis of their Gram matrix
YᵀY = V·diag(s)·Vᵀ. The change to this basis is orthogonal, so all scores stay the same. In this basis, the
matrix YᵀY + λ_u is diagonal, with the entries s + λ_u. A multiplication by it costs rank products instead of
rank², and its inverse is a preconditioner that costs almost nothing. With this preconditioner, conjugate
gradient needs only a few steps, even from zero. Because it starts from zero and not from an earlier solution,
x_u depends only on the user's row, λ_u, t_u and Y.
"""

import numpy as np

from trackpools.core.arrays.array_types import Float32Array, Int32Array, Int64Array
from trackpools.core.arrays.kernel_cache import njit

# If a user has at most this many recordings, their rows of Y are copied side by side before the steps.
# Otherwise the steps read the rows from Y itself.
GATHERED = 4096
SOLVED = 1e-30  # the steps end when the squared residual, as the preconditioner weighs it, is at most this


@njit(nogil=True, cache=True, fastmath=True)
def conjugate_gradient(
    indptr: Int64Array,
    columns: Int32Array,
    values: Float32Array,
    y: Float32Array,
    spectrum: Float32Array,
    penalty: Float32Array,
    toward: Float32Array,
    steps: int,
    x: Float32Array,
) -> None:
    """Compute user factors by steps of preconditioned conjugate gradient from zero.

    Args:
        indptr, columns, values: the block of users, see `blocks.Block`.
        y: recording factors, float32 [recordings, rank], in the eigenbasis of their Gram matrix.
        spectrum: eigenvalues of the Gram matrix, float32 [rank].
        penalty: λ_u, float32 [users].
        toward: float32 [users, rank], the vectors t_u of the penalty λ_u‖x_u − t_u‖²; [0, rank] if
            all are 0.
        steps: greatest number of steps.
        x: result, float32 [users, rank], in the same basis as `y`.

    Example:
        There are two recordings, and one user has recording 0 with the value 3. So x = (1 + 3) / (1 + 1 + 3)
        in the direction of recording 0.

        >>> row = np.array([0, 1]), np.array([0], np.int32), np.array([3], np.float32)
        >>> y, one, x = np.eye(2, dtype=np.float32), np.ones(2, np.float32), np.empty((1, 2), np.float32)
        >>> conjugate_gradient(*row, y, one, one[:1], y[:0], 3, x)
        >>> x
        array([[0.8, 0. ]], dtype=float32)
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
            if rz <= SOLVED:
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
    indptr: Int64Array,
    columns: Int32Array,
    values: Float32Array,
    y: Float32Array,
    spectrum: Float32Array,
    penalty: Float32Array,
    toward: Float32Array,
    x: Float32Array,
) -> None:
    """Compute user factors by solving the normal equations exactly, in float64.

    The arguments are those of `conjugate_gradient`, without `steps`.
    """
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
        for k in range(rank):  # the lower half of a becomes L, where A = L·Lᵀ, row by row
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
def residual(
    indptr: Int64Array,
    columns: Int32Array,
    values: Float32Array,
    x: Float32Array,
    y: Float32Array,
    out: Float32Array,
) -> float:
    """Add the observed part of each recording's residual, Σ_u (c·p − a·x_u·y_i) x_u, to `out`.

    The sum is over the users of the block who have the recording i.

    Args:
        indptr, columns, values: the block of users, see `blocks.Block`.
        x: user factors, float32 [users, rank].
        y: recording factors, float32 [recordings, rank].
        out: float32 [recordings, rank], changed in place.

    Returns:
        The observed part of the loss at (x, y), Σ c(p − x·y)² − (x·y)². It is computed here, because the
        products x·y are known here anyway.
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
def product(
    indptr: Int64Array,
    columns: Int32Array,
    values: Float32Array,
    x: Float32Array,
    p: Float32Array,
    out: Float32Array,
) -> None:
    """Add Σ_u a_ui (x_u·p_i) x_u to `out`, for each recording i.

    The sum is over the users of the block who have the recording i. In this function, p is not the
    preference.

    Args:
        indptr, columns, values: the block of users, see `blocks.Block`.
        x: user factors, float32 [users, rank].
        p: float32 [recordings, rank], one direction of the conjugate gradient for each recording.
        out: float32 [recordings, rank], changed in place.
    """
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
