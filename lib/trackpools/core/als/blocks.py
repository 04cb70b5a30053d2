"""A block of users as a CSR matrix: what `blocked` visits and fold-in solves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackpools.core.topk import positions

Floats = NDArray[np.float32]
DTYPES = {"users": np.int32, "indptr": np.int64, "columns": np.int32, "values": np.float32}
BYTES = ", ".join(f"{name} binary" for name in DTYPES)  # a block as columns of a frame


@dataclass(frozen=True)
class Block:
    """Evidence of some users, rows by user idx, columns ascending.

    Attributes:
        users: user idx of each row, int32.
        indptr: int64 [users + 1] into the next two.
        columns: position of the recording in the trained catalogue, int32.
        values: v > 0 is α·w⁺, v < 0 is −β·w⁻, float32.
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Floats

    def penalties(self, reg: float, nu: float, prior: float) -> Floats:
        """λ(n_u + prior)^ν of every user, n counting positives; prior is α₀·|recordings|."""
        liked = np.concatenate([[0], np.cumsum(self.values > 0)])
        n = liked[self.indptr[1:]] - liked[self.indptr[:-1]]
        penalties: Floats = (reg * (n + prior) ** nu).astype(np.float32)
        return penalties

    def to_bytes(self) -> dict[str, bytes]:
        """The arrays by name, as `BYTES` declares them."""
        return {name: getattr(self, name).tobytes() for name in DTYPES}

    @staticmethod
    def from_bytes(row: dict[str, Any]) -> "Block":
        """What `to_bytes` made, from buffers or bytes; copied, for kernels compile apart for arrays they may not write."""
        return Block(**{name: np.frombuffer(row[name], dtype).copy() for name, dtype in DTYPES.items()})


def pack_table(table: Any, catalogue: NDArray[np.int32]) -> Block:
    """`pack` of an Arrow table `user_idx, recording_idx, value`."""
    return pack(
        table["user_idx"].to_numpy(), table["recording_idx"].to_numpy(), table["value"].to_numpy(), catalogue
    )


def pack(user_idx: Any, recording_idx: Any, values: Any, catalogue: NDArray[np.int32]) -> Block:
    """A block from rows in any order; rows of recordings that `catalogue` (ascending idx) does not hold are left out.

    Users all of whose rows are left out stay, without evidence.
    """
    users, row = np.unique(user_idx, return_inverse=True)
    known, column = positions(catalogue, recording_idx)
    row, value = row[known], values[known]
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(users)))])
    return Block(
        users.astype(np.int32),
        indptr.astype(np.int64),
        column[order].astype(np.int32),
        value[order].astype(np.float32),
    )
