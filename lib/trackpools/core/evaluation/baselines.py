"""Simple recommenders that serve as baselines: popularity, item neighbours and EASE^R.

They run on one machine, and every other recommender must beat them. `FactorScorer` scores with the factors of
a trained model, through the same interface.
"""

import warnings
from typing import Protocol

import numpy as np
from scipy import sparse

from trackpools.core.arrays.array_types import Float32Array, Int64Array
from trackpools.errors import InputError

BLOCK = 2048  # rows or columns of an [items, items] matrix that are processed at a time
# Exponent a of `asymmetric`: how strongly an item's own popularity lowers its similarities. The exponent of
# the neighbour's popularity is 1 − a.
OWN_EXPONENT = 0.3


class Scorer(Protocol):
    """The interface of all recommenders here: they score every item for some users."""

    def scores(self, rows: Int64Array, history: sparse.csr_matrix) -> Float32Array:
        """Return the scores of all items for some users, float32 [users, items].

        Args:
            rows: int64 [users], each user's row in the training matrix; −1 for a user who is not in it.
            history: binary csr [users, items], the users' histories.
        """


class Popularity:
    """Score every item by how many users of the training matrix have it; every user gets the same scores.

    Args:
        matrix: binary csr [users, items].
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        self._counts = np.asarray(matrix.sum(axis=0), np.float32).ravel()

    def scores(self, rows: Int64Array, history: sparse.csr_matrix) -> Float32Array:  # noqa: ARG002 - as Scorer
        return np.tile(self._counts, (len(rows), 1))


class ItemKnn:
    """Score items by their nearest neighbours: the weighted sum of Sarwar et al. 2001.

    The score of an item is a quotient of two sums. The first adds up the item's similarities to those of its
    nearest neighbours that are in the user's history. The second adds up its similarities to all its nearest
    neighbours. Without the second sum, items that are similar to many others win, and a sixth of the recall
    on the data set Gowalla is lost. With `asymmetric`, the score is the first sum alone, because
    `OWN_EXPONENT` already limits the advantage of popular items. For the other weightings, the package
    `implicit` computes the similarities.

    Args:
        matrix: binary csr [users, items].
        neighbours: number of neighbours kept for each item.
        weighting: cosine, tfidf, bm25 or asymmetric.
    """

    def __init__(self, matrix: sparse.csr_matrix, neighbours: int, weighting: str) -> None:
        if weighting == "asymmetric":
            self._near = asymmetric(matrix, neighbours).T.tocsr()
            return
        from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

        model = {"cosine": CosineRecommender, "tfidf": TFIDFRecommender, "bm25": BM25Recommender}[weighting](
            K=neighbours + 1, num_threads=0
        )  # one more, because an item is its own nearest neighbour
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `implicit` warns that it converts its own COO matrix to CSR
            model.fit(matrix.astype(np.float64), show_progress=False)
        near = sparse.csr_matrix(model.similarity, dtype=np.float32)
        near.setdiag(0)
        near.eliminate_zeros()
        whole = np.asarray(near.sum(axis=1)).ravel()
        self._near = sparse.csr_matrix(sparse.diags(1 / np.where(whole > 0, whole, 1)) @ near).T.tocsr()

    def scores(self, rows: Int64Array, history: sparse.csr_matrix) -> Float32Array:  # noqa: ARG002 - as Scorer
        return np.asarray((history @ self._near).toarray(), np.float32)


def asymmetric(matrix: sparse.csr_matrix, neighbours: int) -> sparse.csr_matrix:
    """Compute the asymmetric cosine similarity (Aiolli 2013) of each item to its nearest other items.

    The similarity of items i and j is c_ij / (c_ii^a · c_jj^(1 − a)) with a = `OWN_EXPONENT`. Each user's
    row is normalised (Deshpande & Karypis 2004): c_ij is the sum of 1 / (number of the user's items) over the
    users who have both items.

    Args:
        matrix: binary csr [users, items].
        neighbours: number of neighbours kept for each item.

    Returns:
        csr float32 [items, items]; row i holds the similarities of item i to its neighbours.
    """
    n = matrix.shape[1]
    each = np.diff(matrix.indptr)
    weighed = sparse.csr_matrix(sparse.diags(1 / np.maximum(each, 1)) @ matrix, dtype=np.float32)
    own = np.maximum(np.asarray(weighed.sum(axis=0)).ravel(), 1e-9)
    across, parts = matrix.T.tocsr(), []
    for start in range(0, n, BLOCK):
        part = sparse.coo_matrix(across[start : start + BLOCK] @ weighed)
        row, column = part.row, part.col
        like = part.data / (own[start + row] ** OWN_EXPONENT * own[column] ** (1 - OWN_EXPONENT))
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
    """Score items by EASE^R (Steck 2019), a linear model that predicts each item from all other items.

    With the training matrix X, the model is B = I − P·diag(1 / diag P), where P = (XᵀX + λI)⁻¹. The scores of
    a user are the sum of the rows of B that belong to the items in the history. The inverse overwrites the
    matrix XᵀX + λI, and B overwrites the inverse. So memory holds only one float32 matrix [items, items], and
    some blocks of `BLOCK` rows or columns.

    Args:
        matrix: the training matrix X, binary csr [users, items].
        reg: the regularisation λ.

    Raises:
        InputError: if λ is too small for an inverse in float32.
    """

    def __init__(self, matrix: sparse.csr_matrix, reg: float) -> None:
        n = matrix.shape[1]
        held = np.empty((n, n), np.float32)
        across = matrix.T.tocsr()
        for start in range(0, n, BLOCK):
            held[start : start + BLOCK] = (across[start : start + BLOCK] @ matrix).toarray()
        held[np.diag_indices(n)] += reg
        if not invert_in_place(held):
            raise InputError(
                f"EASE^R cannot be fitted with a regularisation of {reg:g}, because the Gram matrix of the items "
                "cannot be inverted in float32; set a higher baselines.ease_reg"
            )
        for start in range(0, n, BLOCK):
            end = start + BLOCK
            held[:start, start:end] = held[start:end, :start].T
            own = np.tril(held[start:end, start:end])
            held[start:end, start:end] = own + np.tril(own, -1).T
        held /= -held.diagonal().copy()
        held[np.diag_indices(n)] = 0.0
        self._b = held

    def scores(self, rows: Int64Array, history: sparse.csr_matrix) -> Float32Array:  # noqa: ARG002 - as Scorer
        return np.asarray(history @ self._b, np.float32)


def invert_in_place(a: Float32Array) -> bool:
    """Overwrite the lower triangle of a symmetric positive definite matrix `a` with that of −a⁻¹.

    This is the sweep operator (Goodnight 1979), applied to blocks. Apart from the inverses of the diagonal
    blocks, all work is matrix products, and symmetry saves about half of them. LAPACK's spotrf and spotri
    also invert in place, but they ended in a segmentation fault on a matrix of 41,000 rows (OpenBLAS, two
    threads).

    Args:
        a: float32 [n, n]. Only its lower triangle is read. The result overwrites the lower triangle; the
            upper halves of the diagonal blocks are overwritten too.

    Returns:
        True on success; False if `a`, rounded to float32, is not positive definite. In that case, a part of
        `a` may be overwritten.
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


class FactorScorer:
    """Score items by inner products of factors; for a user without factors (row −1), all scores are 0.

    Args:
        users: float32 [users, rank], factors of the trained users.
        items: float32 [items, rank], factors of the items.
    """

    def __init__(self, users: Float32Array, items: Float32Array) -> None:
        self._x, self._y = (
            np.vstack([users, np.zeros((1, users.shape[1]), np.float32)]),
            np.ascontiguousarray(items.T),
        )

    def scores(self, rows: Int64Array, history: sparse.csr_matrix) -> Float32Array:  # noqa: ARG002 - as Scorer
        return self._x[rows] @ self._y


def top_items(scores: Float32Array, k: int) -> Int64Array:
    """Return the `k` items with the highest scores, best first; equal scores are ordered by item number.

    Args:
        scores: float32 [items], scores of one user; items with −inf are left out.
        k: greatest number of items to return.

    Returns:
        int64 [at most k], item numbers.
    """
    least = np.partition(scores, -k)[-k] if k < len(scores) else -np.inf
    among = np.flatnonzero((scores >= least) & (scores > -np.inf))
    return among[np.lexsort((among, -scores[among]))][:k]


def rank_among(scores: Float32Array, item: int, others: Int64Array) -> int:
    """Return the rank, from 1, of one item among others; the item ranks behind others with an equal score.

    Args:
        scores: float32 [items], scores of one user.
        item: number of the item; if it is beyond `scores`, the item has no score and ranks behind all others.
        others: int64, numbers of the other items; those beyond `scores` rank behind an item with a score.
    """
    if item >= len(scores):
        return len(others) + 1
    known = others[others < len(scores)]
    return 1 + int((scores[known] >= scores[item]).sum())
