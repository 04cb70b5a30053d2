"""What any engine must beat, on one machine: popularity, neighbours of items, EASE^R; and how factors are asked the same question."""

import warnings
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trackpools.errors import InputError

BLOCK = 2048  # columns of a Gram matrix at a time
OWN = 0.3  # of `asymmetric`: how much of a likeness an item's own popularity takes away; its neighbour's takes the rest to 1
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]


class Scorer(Protocol):
    """Who scores every item for some users."""

    def scores(self, rows: Longs, history: Any) -> Floats:
        """float32 [users, items] for users of the training matrix (−1: not trained) with these histories, binary csr [users, items]."""


class Popularity:
    """Everybody's list is what most had."""

    def __init__(self, matrix: Any) -> None:
        self._counts = np.asarray(matrix.sum(axis=0), np.float32).ravel()

    def scores(self, rows: Longs, history: Any) -> Floats:  # noqa: ARG002 - as Scorer
        return np.tile(self._counts, (len(rows), 1))


class ItemKnn:
    """The weighted sum of Sarwar et al. 2001: of an item's nearest, how much of their likeness stands in the history. By the package implicit.

    Divided by the likeness of all its nearest: without that what is like much wins, and on Gowalla a sixth of the recall is lost. `asymmetric` is not
    divided: it says by an exponent how much what is popular may win.

    Args:
        matrix: binary csr [users, items].
        neighbours: kept of an item.
        weighting: cosine, tfidf, bm25 or asymmetric.
    """

    def __init__(self, matrix: Any, neighbours: int, weighting: str) -> None:
        if weighting == "asymmetric":
            self._near = asymmetric(matrix, neighbours).T.tocsr()
            return
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

        model = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}[weighting](
            K=neighbours + 1, num_threads=0
        )  # and itself
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it turns its own coordinates into rows
            model.fit(matrix.astype(np.float64), show_progress=False)
        near = sparse.csr_matrix(model.similarity, dtype=np.float32)
        near.setdiag(0)
        near.eliminate_zeros()
        whole = np.asarray(near.sum(axis=1)).ravel()
        self._near = sparse.csr_matrix(sparse.diags(1 / np.where(whole > 0, whole, 1)) @ near).T.tocsr()

    def scores(self, rows: Longs, history: Any) -> Floats:  # noqa: ARG002 - as Scorer
        return np.asarray((history @ self._near).toarray(), np.float32)


def asymmetric(matrix: Any, neighbours: int) -> Any:
    """Likenesses, csr float32 [items, items]: of each row's item the likest others, c_ij / (c_ii^a · c_jj^(1 − a)) with a = OWN.

    The asymmetric cosine of Aiolli 2013 over rows of unit length (Deshpande & Karypis 2004): c_ij is the sum over users who have both of 1 / their items.
    """
    n = matrix.shape[1]
    each = np.diff(matrix.indptr)
    weighed = sparse.csr_matrix(sparse.diags(1 / np.maximum(each, 1)) @ matrix, dtype=np.float32)
    own = np.maximum(np.asarray(weighed.sum(axis=0)).ravel(), 1e-9)
    across, parts = matrix.T.tocsr(), []
    for start in range(0, n, BLOCK):
        part = sparse.coo_matrix(across[start : start + BLOCK] @ weighed)
        row, column = part.row, part.col
        like = part.data / (own[start + row] ** OWN * own[column] ** (1 - OWN))
        other = start + row != column
        row, column, like = row[other], column[other], like[other]
        order = np.lexsort((column, -like, row))
        place = np.arange(len(order)) - np.searchsorted(row[order], row[order])
        best = order[place < neighbours]
        parts.append(
            sparse.csr_matrix((like[best].astype(np.float32), (row[best], column[best])), (part.shape[0], n))
        )
    return sparse.vstack(parts, format="csr")


class Ease:
    """EASE^R (Steck 2019): B = I − P·diag(1 / diag P) with P = (XᵀX + λI)⁻¹; the scores of a history are its rows of B, added.

    One float32 matrix [items, items] is all that is held beside panels of it: Gram matrix, inverse and B are made in its place.

    Args:
        matrix: binary csr [users, items].
        reg: λ.

    Raises:
        InputError: where λ is too small for float32.
    """

    def __init__(self, matrix: Any, reg: float) -> None:
        n = matrix.shape[1]
        held = np.empty((n, n), np.float32)
        across = matrix.T.tocsr()
        for start in range(0, n, BLOCK):
            held[start : start + BLOCK] = (across[start : start + BLOCK] @ matrix).toarray()
        held[np.diag_indices(n)] += reg
        if not swept(held):
            raise InputError(
                f"EASE^R has no inverse at a regularisation of {reg:g} in float32; raise baselines.ease_reg"
            )
        for start in range(0, n, BLOCK):
            end = start + BLOCK
            held[:start, start:end] = held[start:end, :start].T
            own = np.tril(held[start:end, start:end])
            held[start:end, start:end] = own + np.tril(own, -1).T
        held /= -held.diagonal().copy()
        held[np.diag_indices(n)] = 0.0
        self._b = held

    def scores(self, rows: Longs, history: Any) -> Floats:  # noqa: ARG002 - as Scorer
        return np.asarray(history @ self._b, np.float32)


def swept(a: Floats) -> bool:
    """The lower triangle of −a⁻¹, in the place of that of a symmetric positive definite matrix; False where it is none, as far as float32 can tell.

    The sweep operator (Goodnight 1979) by blocks: all of it is matrix products, half as many as without symmetry. LAPACK's spotrf and spotri, which do
    the same, ended in a segmentation fault at 41,000 rows here (OpenBLAS, two threads), and cannot be told where a panel lies in a larger matrix.
    """
    n = len(a)
    for k in range(0, n, BLOCK):
        e = min(k + BLOCK, n)
        own = np.tril(a[k:e, k:e]).astype(np.float64)
        try:
            inverse = np.linalg.inv(own + np.tril(own, -1).T)
        except np.linalg.LinAlgError:
            return False
        if not (np.isfinite(inverse).all() and (inverse.diagonal() > 0).all()):
            return False
        old = np.concatenate([a[k:e, :k].T, np.zeros((e - k, e - k), np.float32), a[e:, k:e]])
        new = old @ inverse.astype(np.float32)
        for j in range(0, n, BLOCK):
            a[j:, j : j + BLOCK] -= new[j:] @ old[j : j + BLOCK].T
        a[k:e, :k], a[e:, k:e], a[k:e, k:e] = new[:k].T, new[e:], -inverse
    return True


class Factors:
    """Inner products of factors [users, rank] and [items, rank]; of users without, zeros."""

    def __init__(self, users: Floats, items: Floats) -> None:
        self._x, self._y = (
            np.vstack([users, np.zeros((1, users.shape[1]), np.float32)]),
            np.ascontiguousarray(items.T),
        )

    def scores(self, rows: Longs, history: Any) -> Floats:  # noqa: ARG002 - as Scorer
        return self._x[rows] @ self._y


def leaders(scores: Floats, k: int) -> Longs:
    """The k best of a row, best first, of equals the lower number; what scores −inf is left out."""
    least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    among = np.flatnonzero((scores >= least) & (scores > -np.inf))
    return among[np.lexsort((among, -scores[among]))][:k]


def place_among(scores: Floats, one: int, others: Longs) -> int:
    """The rank, from 1, of one item among others; ties are lost. An item beyond the end was never scored: it is behind all."""
    if one >= len(scores):
        return len(others) + 1
    known = others[others < len(scores)]
    return 1 + int((scores[known] >= scores[one]).sum())
