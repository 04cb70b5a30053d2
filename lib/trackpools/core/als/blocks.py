"""A block of users as a CSR matrix, for training (`shell.training.blocked`) and fold-in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trackpools.core.arrays.array_types import Float32Array, FloatArray, IntArray
from trackpools.core.topk.exact import find_positions

DTYPES = {"users": np.int32, "indptr": np.int64, "columns": np.int32, "values": np.float32}
BYTES = ", ".join(f"{name} binary" for name in DTYPES)  # the columns of a frame with one block in each row


@dataclass(frozen=True)
class Block:
    """The evidence of some users, as a CSR matrix with one row for each user.

    Evidence says how much a user likes or dislikes a recording. It consists of two weights, which are
    computed from the user's plays and explicit acts: w⁺ for positive and w⁻ for negative evidence.

    Attributes:
        users: int32 [users], the user idx of each row, ascending.
        indptr: int64 [users + 1]; row `u` has the entries `indptr[u]:indptr[u + 1]` of `columns` and
            `values`.
        columns: int32 [entries], the position of the recording in the catalogue, ascending in each row. The
            catalogue is the list of the recordings with factors.
        values: float32 [entries]; a value above 0 is α·w⁺, and a value below 0 is −β·w⁻. α is
            `train.alpha`, and β is `train.beta`.
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Float32Array

    def penalties(self, reg: float, nu: float, prior: float) -> Float32Array:
        """Return λ(n_u + prior)^ν for each user, float32 [users]; n_u counts the user's positive values.

        Args:
            reg: λ, the strength of the regularisation.
            nu: ν, the exponent of the regularisation.
            prior: α₀ (`train.alpha0`) times the number of recordings.
        """
        liked = np.concatenate([[0], np.cumsum(self.values > 0)])
        n = liked[self.indptr[1:]] - liked[self.indptr[:-1]]
        penalties: Float32Array = (reg * (n + prior) ** nu).astype(np.float32)
        return penalties

    def to_bytes(self) -> dict[str, bytes]:
        """Return the bytes of each array, by its name; the dtypes are in DTYPES."""
        return {name: getattr(self, name).tobytes() for name in DTYPES}

    @staticmethod
    def from_bytes(row: dict[str, Any]) -> "Block":
        """Build a block from the result of `to_bytes`, or from a row with the columns BYTES, as a dict.

        The arrays are copied. Without a copy they would be read-only, and numba would compile the kernels a
        second time for read-only arrays.
        """
        return Block(**{name: np.frombuffer(row[name], dtype).copy() for name, dtype in DTYPES.items()})


def pack_table(table: pa.Table, catalogue: NDArray[np.int32]) -> Block:
    """Build a block from an Arrow table `user_idx, recording_idx, value`, see `pack`."""
    return pack(
        table["user_idx"].to_numpy(), table["recording_idx"].to_numpy(), table["value"].to_numpy(), catalogue
    )


def pack(
    user_idx: IntArray, recording_idx: IntArray, values: FloatArray, catalogue: NDArray[np.int32]
) -> Block:
    """Build a block from rows in any order.

    Rows of recordings that `catalogue` lacks are left out. A user who only has such rows stays in the block,
    with an empty row.

    Args:
        user_idx, recording_idx, values: the columns of the rows; `values` as in `Block`.
        catalogue: int32, idx of the recordings that have factors, ascending.
    """
    users, row = np.unique(user_idx, return_inverse=True)
    known, column = find_positions(catalogue, recording_idx)
    row, value = row[known], values[known]
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(users)))])
    return Block(
        users.astype(np.int32),
        indptr.astype(np.int64),
        column[order].astype(np.int32),
        value[order].astype(np.float32),
    )
