"""Whether a training of `blocked` fits, by arithmetic, before anything is moved."""

from math import ceil

GIB = 2**30
ROW_BYTES = 8  # an int32 column and a float32 value; users add little


def problems(rows: int, recordings: int, rank: int, blocks: int) -> list[str]:
    """What cannot fit and what to set, with the numbers; empty where all fits.

    A block of users travels as one value, and so does its partial sum [recordings, rank] float32; the driver receives one from
    each block in a pass, within the 1 GiB that Spark lets a driver receive by default.
    """
    found = []
    block = ROW_BYTES * ceil(rows / blocks)
    if block > GIB:
        least = ceil(ROW_BYTES * rows / GIB)
        found.append(f"a block of users takes {rows:,} rows ÷ {blocks} blocks × {ROW_BYTES} bytes = {block / GIB:.1f} GiB, over 1; set train.blocks={least}")
    received = 4 * recordings * rank * blocks
    if received > GIB:
        sum_ = f"{recordings:,} recordings × rank {rank} × 4 bytes × {blocks} blocks = {received / GIB:.1f} GiB"
        found.append(f"a pass would bring the driver {sum_}, over 1; lower train.rank or train.blocks, or train on fewer recordings")
    return found
