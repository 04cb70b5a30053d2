"""Names for the types of NumPy arrays, by the type of their elements.

A name says nothing about the shape of an array; the docstrings of functions and classes give the shapes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integer = int | np.integer[Any]  # a Python int, or one element of a NumPy array of integers
BoolArray = NDArray[np.bool_]
Uint8Array = NDArray[np.uint8]
Int8Array = NDArray[np.int8]
Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]
IntArray = NDArray[np.integer[Any]]  # integers of any size, mostly int32 or int64
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.floating[Any]]  # floats of any size, mostly float32 or float64
