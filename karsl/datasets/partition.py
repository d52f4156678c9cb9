"""Which clip goes where: an epoch's order, and the part of it that a rank and a worker take. Arithmetic only.

The order is a function of (seed, epoch) alone. Ranks take its positions in turn, workers of a rank take whole batches in
turn, so the batches of an epoch are the same for any number of workers, and one integer, the positions consumed by all
ranks together, says where a run stopped: what is left is dealt out anew to any number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from karsl.datasets.rng import CounterRNG, hash_name, sample_keys
from karsl.errors import ConfigError

MODES = ("pad", "drop", "uneven")
_SHARDS, _CLIPS = hash_name("order of shards"), hash_name("order of clips")
_KEPT_BLOCKS = 4


class EpochOrder:
    """The places of all clips in the order of one epoch, block by block as they are asked for.

    Shards are put in random order and read one after the other; the clips of each block of `window` consecutive ones are
    put in random order. The blocks begin elsewhere in each epoch.

    Args:
        sizes: Integers (S,), clips of each shard; their places follow one another. One number is one shard.
        seed: Of the run.
        epoch: Of the run.
        shuffle: False keeps the order of the places.
        window: Clips that are mixed; None mixes all, 1 only puts the shards in random order.

    Raises:
        ConfigError: `window` below 1 or a negative size.

    Example:
        >>> order = EpochOrder([2, 3], seed=0, epoch=0)
        >>> sorted(order.places(np.arange(5)).tolist()), len(order)
        ([0, 1, 2, 3, 4], 5)
        >>> EpochOrder([2, 3], seed=0, epoch=0, shuffle=False).places(np.array([4, 0]))
        array([4, 0])
    """

    def __init__(
        self, sizes: np.ndarray | list[int] | int, *, seed: int, epoch: int, shuffle: bool = True, window: int | None = None
    ) -> None:
        sizes = np.atleast_1d(np.asarray(sizes, dtype=np.int64))
        if (sizes < 0).any() or (window is not None and window < 1):
            raise ConfigError(
                f"an order of {sizes.min()} or more clips a shard and window={window}; expected 0 and 1 or more"
            )
        self.seed, self.epoch, self.shuffle = seed, epoch, shuffle
        self._total = int(sizes.sum())
        self.window = max(1, min(window or self._total, self._total))
        shards = np.argsort(self._numbers(_SHARDS, np.arange(len(sizes))), kind="stable") if shuffle else slice(None)
        self._first = (np.cumsum(sizes) - sizes)[shards]
        self._ends = np.cumsum(sizes[shards])
        mixed = shuffle and self.window < self._total
        self._shift = int(self._numbers(_CLIPS, np.array([self._total]))[0] % np.uint64(self.window)) if mixed else 0
        self._blocks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self._total

    def places(self, positions: np.ndarray) -> np.ndarray:
        """The clips at some positions of the order, int64 of the same shape.

        Args:
            positions: Integers in [0, len), any order.
        """
        if not self.shuffle:
            return np.asarray(positions, dtype=np.int64)
        blocks = (positions + self._shift) // self.window
        if len(blocks) and blocks[0] == blocks[-1] and (blocks == blocks[0]).all():
            first, block = self._block(int(blocks[0]))
            return block[positions - first]
        out = np.empty(len(positions), np.int64)
        for number in np.unique(blocks).tolist():
            here = blocks == number
            first, block = self._block(number)
            out[here] = block[positions[here] - first]
        return out

    def _block(self, number: int) -> tuple[int, np.ndarray]:
        """The first position of a block, and its places in order."""
        first = max(0, number * self.window - self._shift)
        found = self._blocks.get(number)
        if found is None:
            inside = np.arange(first, min(self._total, (number + 1) * self.window - self._shift))
            mixed = inside[np.argsort(self._numbers(_CLIPS, inside), kind="stable")]
            shard = np.searchsorted(self._ends, mixed, side="right")
            sizes_before = np.concatenate([[0], self._ends])[shard]
            found = self._first[shard] + mixed - sizes_before
            while len(self._blocks) >= _KEPT_BLOCKS:
                self._blocks.pop(next(iter(self._blocks)))
            self._blocks[number] = found
        return first, found

    def _numbers(self, stream: int, of: np.ndarray) -> np.ndarray:
        return random_numbers(of, seed=self.seed, epoch=self.epoch, stream=stream)


def random_numbers(of: np.ndarray, *, seed: int, epoch: int, stream: int) -> np.ndarray:
    """uint64 (n,), a number for each of some integers; sorted by it they are in random order."""
    return CounterRNG(sample_keys(seed, epoch, of), transform_id=stream).bits("order", 1)[:, 0]


@dataclass(frozen=True)
class Share:
    """The positions of an order that one rank takes: every `world`-th from where the run stopped.

    Attributes:
        total: Clips of the epoch.
        world: Ranks.
        rank: Of this process.
        start: Positions that all ranks together consumed before; `skip` moves it.
        mode: What happens where the rest does not divide: `'pad'` repeats the first clips of the order so that every rank
            has equally many, `'drop'` leaves out the last ones, `'uneven'` gives some ranks one clip more, and every clip
            exactly once.

    Raises:
        ConfigError: A number outside its range, or an unknown mode.

    Example:
        >>> [Share(5, world=2, rank=r, mode="uneven").positions(0, 9).tolist() for r in (0, 1)]
        [[0, 2, 4], [1, 3]]
        >>> [Share(5, world=2, rank=r, mode="pad").positions(0, 9).tolist() for r in (0, 1)]
        [[0, 2, 4], [1, 3, 0]]
    """

    total: int
    world: int = 1
    rank: int = 0
    start: int = 0
    mode: str = "pad"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode={self.mode!r} of a partition; expected one of {', '.join(MODES)}")
        if not (0 <= self.rank < self.world and self.total >= 0 and self.start >= 0):
            raise ConfigError(
                f"rank {self.rank} of {self.world}, start {self.start} of {self.total} clips; expected a rank below the "
                "number of ranks and a start of at least 0"
            )

    def __len__(self) -> int:
        left = max(0, self.total - self.start)
        if self.mode == "pad":
            return -(-left // self.world)
        return left // self.world if self.mode == "drop" else -(-max(0, left - self.rank) // self.world)

    def positions(self, first: int, stop: int) -> np.ndarray:
        """int64, positions in the order of this rank's clips number `first` to `stop`."""
        found = self.start + self.rank + self.world * np.arange(first, min(stop, len(self)), dtype=np.int64)
        return found % self.total if self.mode == "pad" and len(found) else found

    def consumed(self, done: int) -> int:
        """What all ranks together consumed once this rank has done some of its clips."""
        return self.total if done >= len(self) else min(self.total, self.start + done * self.world)


def worker_batches(length: int, batch_size: int, *, num_workers: int = 1, worker: int = 0) -> Iterator[tuple[int, int]]:
    """The batches of one worker, `(first, stop)` in the clips of its rank: every `num_workers`-th, as a DataLoader asks.

    Example:
        >>> list(worker_batches(10, 3, num_workers=2, worker=1))
        [(3, 6), (9, 10)]
    """
    for first in range(worker * batch_size, length, num_workers * batch_size):
        yield first, min(first + batch_size, length)
