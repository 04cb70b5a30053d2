"""Whether a training of `blocked` fits, by arithmetic, before anything is moved."""

from math import ceil

from trackpools.config import TrainConfig

GIB = 2**30
ROW_BYTES = 8  # an int32 column and a float32 value; users add little


def is_striped(recordings: int, rank: int, config: TrainConfig) -> bool:
    """Whether recordings are kept in stripes: where their float32 factors are over `train.stripe_bytes`, or over 1 GiB times the blocks.

    Otherwise the driver keeps them and receives a partial sum as large from each block, within the 1 GiB that Spark lets it by default.
    """
    factors = 4 * recordings * rank
    return factors > config.stripe_bytes or factors * config.blocks > GIB


def problems(rows: int, recordings: int, rank: int, config: TrainConfig) -> list[str]:
    """What cannot fit and what to set, with the numbers; empty where all fits. A block of users travels as one value."""
    found = []
    blocks, block = config.blocks, ROW_BYTES * ceil(rows / config.blocks)
    if block > GIB:
        least = ceil(ROW_BYTES * rows / GIB)
        found.append(
            f"a block of users takes {rows:,} rows ÷ {blocks} blocks × {ROW_BYTES} bytes = {block / GIB:.1f} GiB, over 1; set train.blocks={least}"
        )
    if is_striped(recordings, rank, config) and config.checkpoint_dir is None:
        sum_ = f"{recordings:,} recordings × rank {rank} × 4 bytes × {blocks} blocks = {4 * recordings * rank * blocks / GIB:.1f} GiB"
        limit = f"over 1, or one block's over train.stripe_bytes={config.stripe_bytes}"
        found.append(
            f"{sum_}, {limit}, so recordings go in stripes, which need a folder: set train.checkpoint_dir to storage that every executor sees"
        )
    return found
