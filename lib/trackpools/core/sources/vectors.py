"""The source `vectors`: the recordings of largest inner product with the user, by external vectors.

External vectors are trained outside of trackpools, for example by a two-tower model or from texts.
"""

from trackpools.core.sources.source import Source, VectorTables

SOURCE = Source(
    "vectors",
    10,
    "new",
    "number {n} by your own model's vectors",
    "played {n} ×, by your own model's vectors",
    vectors=VectorTables("user_vectors", "recording_vectors"),
)
