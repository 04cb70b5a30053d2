"""Calculate, before data is moved, whether training by `shell.training.blocked` will fit into memory."""

from math import ceil

from trackpools.config import TrainConfig

GIB = 2**30
# Bytes of one row of training data in a block: an int32 column and a float32 value. The arrays with one entry
# for each user add little.
ROW_BYTES = 8


def is_striped(recordings: int, rank: int, config: TrainConfig) -> bool:
    """Return whether the recording factors are kept in stripes on storage instead of in the driver.

    If the driver keeps the factors, each block of users sends it a partial sum of the size of the float32
    factors. The sums of all blocks together may have at most 1 GiB, because Spark allows no more by default.
    So stripes are used if the size of the factors times the number of blocks is more than 1 GiB. They are
    also used if the factors are larger than `train.stripe_bytes`. For stripes, see `core.als.stripes`.

    Args:
        recordings, rank: the shape of the recording factors.
        config: the `train` section.
    """
    factors = 4 * recordings * rank
    return factors > config.stripe_bytes or factors * config.blocks > GIB


def memory_problems(rows: int, recordings: int, rank: int, config: TrainConfig) -> list[str]:
    """Return a message for each thing that cannot fit, with the setting that helps; empty if all fits.

    A block of users must not be larger than 1 GiB, because it is moved as one value. Stripes need a folder on
    storage, `train.checkpoint_dir`.

    Args:
        rows: number of rows of the training data.
        recordings, rank: the shape of the recording factors.
        config: the `train` section.
    """
    found = []
    blocks, block = config.blocks, ROW_BYTES * ceil(rows / config.blocks)
    if block > GIB:
        least = ceil(ROW_BYTES * rows / GIB)
        found.append(
            f"one block of users takes {rows:,} rows ÷ {blocks} blocks × {ROW_BYTES} bytes = {block / GIB:.1f} GiB, "
            f"but at most 1 GiB can be moved as one value; set train.blocks={least}"
        )
    if is_striped(recordings, rank, config) and config.checkpoint_dir is None:
        sum_ = f"{recordings:,} recordings × rank {rank} × 4 bytes × {blocks} blocks = {4 * recordings * rank * blocks / GIB:.1f} GiB"
        limit = f"which is more than 1 GiB, or the factors alone take more than train.stripe_bytes={config.stripe_bytes}"
        found.append(
            f"the partial sums take {sum_}, {limit}; recordings must therefore be kept in stripes, "
            "which need a folder: set train.checkpoint_dir to storage that every executor can access"
        )
    return found
