"""Permutations of an epoch and their partition over ranks and workers.

The order is a function of (seed, epoch) alone. Each rank takes every n-th position and each worker of a rank takes every
n-th batch, so the batches of an epoch do not depend on the number of workers. The number of positions consumed by all ranks
together is enough to resume, with any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name, sample_keys
from karsl.errors import ConfigError, pluralize

REMAINDERS = ("pad", "drop", "uneven")
_SHARDS, _CLIPS = hash_name("order of shards"), hash_name("order of clips")
_MAX_BLOCKS = 4  # of an epoch, cached
_FEISTEL_ROUNDS = 6  # four mix large ranges; a range of a few numbers needs more
_MAX_CACHED = 1 << 20  # indices; a shorter permutation is computed once and cached, 4 bytes per index


class EpochPermutation:
    """Indices of all clips in the order of one epoch, computed block by block.

    Shards are permuted, then the clips of each block of `window` consecutive ones are permuted. The block boundaries differ
    from epoch to epoch.

    Args:
        sizes: Integers (S,), number of clips per shard; the indices of a shard are consecutive. An integer is a single
            shard.
        seed: Random seed of the order.
        epoch: Epoch number.
        shuffle: False keeps the indices in ascending order.
        window: Number of clips that are shuffled together. None shuffles all, 1 permutes the shards only.

    Raises:
        ConfigError: If `window` is less than 1 or a size is negative.

    Example:
        >>> order = EpochPermutation([2, 3], seed=0, epoch=0)
        >>> sorted(order.indices(np.arange(5)).tolist()), len(order)
        ([0, 1, 2, 3, 4], 5)
        >>> EpochPermutation([2, 3], seed=0, epoch=0, shuffle=False).indices(np.array([4, 0]))
        array([4, 0])
    """

    def __init__(
        self, sizes: np.ndarray | list[int] | int, *, seed: int, epoch: int, shuffle: bool = True, window: int | None = None
    ) -> None:
        sizes = np.atleast_1d(np.asarray(sizes, dtype=np.int64))
        if (sizes < 0).any() or (window is not None and window < 1):
            raise ConfigError(
                f"EpochPermutation: smallest size {sizes.min()}, window={window}; expected at least 0 and at least 1"
            )
        self.seed, self.epoch, self.shuffle = seed, epoch, shuffle
        self._total = int(sizes.sum())
        self.window = max(1, min(window or self._total, self._total))
        shards = np.argsort(self._random(np.arange(len(sizes)), _SHARDS), kind="stable") if shuffle else slice(None)
        self._starts = (np.cumsum(sizes) - sizes)[shards]
        self._ends = np.cumsum(sizes[shards])
        has_blocks = shuffle and self.window < self._total
        self._shift = int(self._random(np.array([self._total]), _CLIPS)[0] % np.uint64(self.window)) if has_blocks else 0
        self._blocks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._total

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the clip index at each position of the order.

        Args:
            positions: Integers (N,) in [0, len), in any order.

        Returns:
            int64 (N,).
        """
        if not self.shuffle:
            return np.asarray(positions, dtype=np.int64)
        blocks = (positions + self._shift) // self.window
        if len(blocks) and blocks[0] == blocks[-1] and (blocks == blocks[0]).all():
            start, block = self._block(int(blocks[0]))
            return block[positions - start]
        indices = np.empty(len(positions), np.int64)
        for number in np.unique(blocks).tolist():
            in_block = blocks == number
            start, block = self._block(number)
            indices[in_block] = block[positions[in_block] - start]
        return indices

    def _block(self, number: int) -> tuple[int, np.ndarray]:
        """Return the first position of a block and its indices in order."""
        start = max(0, number * self.window - self._shift)
        block = self._blocks.get(number)
        if block is None:
            positions = np.arange(start, min(self._total, (number + 1) * self.window - self._shift))
            shuffled = positions[np.argsort(self._random(positions, _CLIPS), kind="stable")]
            shard = np.searchsorted(self._ends, shuffled, side="right")
            block = self._starts[shard] + shuffled - np.concatenate([[0], self._ends])[shard]
            while len(self._blocks) >= _MAX_BLOCKS:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[number] = block
        return start, block

    def _random(self, values: np.ndarray, purpose: int) -> np.ndarray:
        return random_ints(values, seed=self.seed, epoch=self.epoch, purpose=purpose)


def random_ints(values: np.ndarray, *, seed: int, epoch: int, purpose: int) -> np.ndarray:
    """Return a random uint64 for each of N integers; sorting by it shuffles them.

    Args:
        values: Integers (N,).
        seed: Random seed.
        epoch: Epoch number.
        purpose: Hash that separates this use from others with the same seed.

    Returns:
        uint64 (N,), each a function of its value and the other arguments.
    """
    return CounterRNG(sample_keys(seed, epoch, values), transform_id=purpose).bits("order", 1)[:, 0]


@dataclass(frozen=True)
class RankPartition:
    """Positions of an order that one rank takes: every `world_size`-th from `start` on.

    Attributes:
        total: Number of clips of the epoch.
        world_size: Number of ranks.
        rank: Rank of this process.
        start: Number of positions that all ranks together consumed before.
        remainder: Treatment of positions that do not divide evenly. `'pad'` repeats the first clips of the order so that all
            ranks have equally many, `'drop'` leaves out the last clips, `'uneven'` gives some ranks one clip more, so that
            each clip is used exactly once.

    Raises:
        ConfigError: If a number is out of range or `remainder` is unknown.

    Example:
        >>> [RankPartition(5, world_size=2, rank=r, remainder="uneven").positions(0, 9).tolist() for r in (0, 1)]
        [[0, 2, 4], [1, 3]]
        >>> [RankPartition(5, world_size=2, rank=r, remainder="pad").positions(0, 9).tolist() for r in (0, 1)]
        [[0, 2, 4], [1, 3, 0]]
    """

    total: int
    world_size: int = 1
    rank: int = 0
    start: int = 0
    remainder: str = "pad"

    def __post_init__(self) -> None:
        if self.remainder not in REMAINDERS:
            raise ConfigError(f"RankPartition: remainder={self.remainder!r}; expected one of {', '.join(REMAINDERS)}")
        if not (0 <= self.rank < self.world_size and self.total >= 0 and self.start >= 0):
            raise ConfigError(
                f"RankPartition: rank {self.rank} of {self.world_size}, start {self.start} of "
                f"{pluralize(self.total, 'clip')}; expected "
                "a rank below the number of ranks and a start of at least 0"
            )

    def __len__(self) -> int:
        left = max(0, self.total - self.start)
        if self.remainder == "pad":
            return -(-left // self.world_size)
        if self.remainder == "drop":
            return left // self.world_size
        return -(-max(0, left - self.rank) // self.world_size)

    def positions(self, first: int, stop: int) -> np.ndarray:
        """Return the positions in the order of this rank's clips `first` to `stop` (exclusive), int64."""
        positions = self.start + self.rank + self.world_size * np.arange(first, min(stop, len(self)), dtype=np.int64)
        return positions % self.total if self.remainder == "pad" and len(positions) else positions

    def consumed(self, done: int) -> int:
        """Return the number of positions consumed by all ranks together once this rank has used `done` clips."""
        return self.total if done >= len(self) else min(self.total, self.start + done * self.world_size)


def split_batches(length: int, batch_size: int, *, num_workers: int = 1, worker: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the batches of one worker as `(first, stop)`: every `num_workers`-th, as a DataLoader requests them.

    Example:
        >>> list(split_batches(10, 3, num_workers=2, worker=1))
        [(3, 6), (9, 10)]
    """
    for first in range(worker * batch_size, length, num_workers * batch_size):
        yield first, min(first + batch_size, length)


def permute(indices: np.ndarray, length: int, *, key: int) -> np.ndarray:
    """Map indices through a random permutation of `range(length)` that needs no memory for long ranges.

    Args:
        indices: Integers (N,) in [0, length).
        length: Length of the permutation.
        key: Selects the permutation; the same key gives the same one in every process.

    Returns:
        int64 (N,); all indices together give each integer of the range once.

    Example:
        >>> order = permute(np.arange(5), 5, key=1)
        >>> sorted(order.tolist()), bool(permute(np.array([3]), 5, key=1)[0] == order[3])
        ([0, 1, 2, 3, 4], True)

    Source: A Feistel network over the next power of four, iterated until the value is in range (cycle walking); Black and
        Rogaway 2002, Ciphers with Arbitrary Finite Domains, https://doi.org/10.1007/3-540-45760-7_9
    """
    if length <= _MAX_CACHED:
        return _permutation(length, key)[indices].astype(np.int64)
    return _cycle_walk(indices, length, key)


@lru_cache(maxsize=8)
def _permutation(length: int, key: int) -> np.ndarray:
    return _cycle_walk(np.arange(length), length, key).astype(np.int32)


def _cycle_walk(indices: np.ndarray, length: int, key: int) -> np.ndarray:
    half_bits = np.uint64(max(1, ((length - 1).bit_length() + 1) // 2))
    values = indices.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half_bits, key)
        outside = values >= length
    return values.astype(np.int64)


def _feistel(values: np.ndarray, half_bits: np.uint64, key: int) -> np.ndarray:
    mask = np.uint64((1 << int(half_bits)) - 1)
    left, right = values >> half_bits, values & mask
    for round_number in range(_FEISTEL_ROUNDS):
        left, right = right, left ^ (sample_keys(key, round_number, right) & mask)
    return left << half_bits | right
