"""State of a dataset that is shared with its DataLoader workers: seed, epoch and the count of skipped clips."""

from __future__ import annotations

import logging
import mmap
import os
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing.context import get_spawning_popen

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from karsl.checks import check_int
from karsl.datasets.rng import sample_keys, splitmix64
from karsl.datasets.transfer import new_shared_storage
from karsl.errors import SHARED_MEMORY_REMEDY, ConfigError

_SLOT_INTS = 8  # a cache line per object
_SLOTS = 1024
_UNSET = -1


class EpochState:
    """Seed and epoch, shared with workers, so that persistent workers see each new epoch.

    Without a seed, every access draws from fresh entropy, seeded by torch as in any PyTorch transform. With a seed, from
    the constructor or from `set_epoch`, the key of a sample is a pure function of (seed, epoch, sample).

    Args:
        seed: None waits for `set_epoch`.

    Raises:
        ConfigError: If the seed is not an integer in [0, 2**63 - 1].

    Example:
        >>> state = EpochState(seed=7)
        >>> first = state.key(3)
        >>> state.set_epoch(1)
        >>> bool(state.key(3) == first), bool(EpochState(seed=7).key(3) == first)
        (False, True)
    """

    def __init__(self, seed: int | None = None) -> None:
        if seed is not None:
            check_int("a dataset", seed=seed)
        self._shared = SharedInts([0, _UNSET if seed is None else seed])

    @property
    def epoch(self) -> int:
        """Current epoch."""
        return self._shared[0]

    @property
    def seed(self) -> int | None:
        """Current seed, None while random numbers are fresh."""
        seed = self._shared[1]
        return None if seed == _UNSET else seed

    def set_epoch(self, epoch: int, *, seed: int | None = None) -> None:
        """Set the epoch.

        Args:
            epoch: 0 or more.
            seed: Used only if there is no seed yet. If there is none at all, the seed becomes 0.

        Raises:
            ConfigError: If one is not an integer in [0, 2**63 - 1].
        """
        check_int("set_epoch", epoch=epoch, seed=seed or 0)
        self._shared[0] = epoch
        if self.seed is None:
            self._shared[1] = seed or 0

    def key(self, sample_idx: int) -> np.uint64:
        """Return the random key of one sample, uint64."""
        return self.keys(np.array([sample_idx]))[0]

    def keys(self, sample_idx: np.ndarray) -> np.ndarray:
        """Return the random keys of N samples, uint64 (N,)."""
        epoch, seed = self._shared.tolist()
        return sample_keys(_fresh_entropy() if seed == _UNSET else seed, epoch, sample_idx)

    def __deepcopy__(self, memo: dict) -> EpochState:
        copy = EpochState(self.seed)
        copy._shared[0] = self.epoch
        return copy


def _fresh_entropy() -> int:
    """Draw from torch's generator and the worker's seed: MMEngine seeds torch alike in every epoch, the latter differs."""
    drawn = int(torch.empty((), dtype=torch.int64).random_())
    worker = get_worker_info()
    return drawn if worker is None else drawn ^ splitmix64(worker.seed)


class SkipCounter:
    """Number of clips that were replaced by others, over all workers of this process.

    Each clip is logged once per process, and of the clips that one transform rejects the first one.

    Example:
        >>> SkipCounter().count
        0
    """

    def __init__(self) -> None:
        self._shared = SharedInts([0] * _SLOT_INTS)  # one for this process, the others for its workers in turn
        self._logged: set[int | str] = set()

    @property
    def count(self) -> int:
        """Replacements so far. With more than seven workers, two at the same instant may be counted once."""
        return sum(self._shared.tolist())

    def add(self, sample_idx: int, reason: str, *, rejected_by: str = "") -> None:
        """Count one replacement.

        Args:
            sample_idx: Index of the clip.
            reason: Clause for the log.
            rejected_by: Name of the transform that returned None, if one did.
        """
        worker = get_worker_info()
        self._shared[0 if worker is None else 1 + worker.id % (_SLOT_INTS - 1)] += 1
        cause = rejected_by or sample_idx
        if cause not in self._logged:
            self._logged.add(cause)
            more = f"; further clips that {rejected_by} rejects are counted, not logged" if rejected_by else ""
            print_log(f"using another clip: {reason}{more}", logger="current", level=logging.WARNING)

    def __deepcopy__(self, memo: dict) -> SkipCounter:
        return SkipCounter()


def ensure_initialized(dataset: BaseDataset) -> None:
    """Initialize a dataset that is read before `full_init`, with a warning: each worker process would repeat it."""
    if not dataset._fully_initialized:
        text = "full_init() is called now; call it before the dataset is passed to workers, to parse once"
        print_log(text, logger="current", level=logging.WARNING)
        dataset.full_init()


class SharedInts:
    """Up to 8 integers that a process shares with its DataLoader workers, and with no other process.

    Any other process that receives them, such as a rank that was forked or spawned, continues with a copy of its own,
    which it shares with its own workers. `copy.deepcopy` and plain pickle make a new object with the same numbers. A
    thousand objects cost one file descriptor.

    Args:
        values: At most 8 numbers of int64.

    Example:
        >>> numbers = SharedInts([5, 0])
        >>> numbers[1] = 7
        >>> numbers[0], numbers.tolist()
        (5, [5, 7])
    """

    def __init__(self, values: Sequence[int]) -> None:
        self._block, self._first = _allocate()
        self._count = len(values)
        self._block.numbers()[self._first : self._first + self._count] = values

    def __getitem__(self, index: int) -> int:
        return int(self._block.numbers()[self._first + index])

    def __setitem__(self, index: int, value: int) -> None:
        self._block.numbers()[self._first + index] = value

    def tolist(self) -> list[int]:
        """Return all numbers, read at once."""
        return self._block.numbers()[self._first : self._first + self._count].tolist()

    def __deepcopy__(self, memo: dict) -> SharedInts:
        return SharedInts(self.tolist())

    def __reduce__(self) -> tuple:
        if get_spawning_popen() is None:  # a plain pickle, for any reader
            return SharedInts, (self.tolist(),)
        return _attach, (self._block, self._first, self._count)


class _Block:
    """Shared memory for many objects. A slot is never used twice, so a late worker cannot meet numbers of another object."""

    latest: _Block | None = None

    def __init__(self) -> None:
        self.free_slots: Iterator[int] = iter(range(0, _SLOTS * _SLOT_INTS, _SLOT_INTS))
        self._use(_zeros(), os.getpid())

    def _use(self, tensor: torch.Tensor, owner: int) -> None:
        self._tensor, self._array, self.owner = tensor, tensor.numpy(), owner
        _BLOCKS.add(self)

    def numbers(self) -> np.ndarray:
        """Return the memory. A process that is neither the owner nor one of its workers gets a copy, once."""
        if self.owner != os.getpid() and get_worker_info() is None:
            tensor = _zeros()
            tensor.numpy()[:] = self._array  # not by torch, whose copy may wait for threads that a fork left behind
            self._use(tensor, os.getpid())
        return self._array

    def __getstate__(self) -> tuple[torch.Tensor, int]:
        self.numbers()  # a rank makes its copy before its workers start
        if not self._tensor.is_shared():
            raise ConfigError(f"there is no shared memory for the seed and epoch of workers; {SHARED_MEMORY_REMEDY}")
        return self._tensor, self.owner

    def __setstate__(self, state: tuple[torch.Tensor, int]) -> None:
        self.free_slots = iter(())
        self._use(*state)


_BLOCKS: weakref.WeakSet[_Block] = weakref.WeakSet()


def _zeros() -> torch.Tensor:
    """Return shared memory; where the system has none, memory that only this process and its forks share."""
    size = 8 * _SLOTS * _SLOT_INTS
    try:
        storage = new_shared_storage(size)
    except ConfigError as error:
        print_log(str(error), logger="current", level=logging.WARNING)
        return torch.frombuffer(mmap.mmap(-1, size), dtype=torch.int64)
    return torch.empty(0, dtype=torch.int64).set_(storage)


def _allocate() -> tuple[_Block, int]:
    """Return a free slot in memory of this process. `next` of a range is atomic, so threads need no lock."""
    block = _Block.latest
    slot = next(block.free_slots, None) if block is not None and block.owner == os.getpid() else None
    while block is None or slot is None:
        block = _Block.latest = _Block()
        slot = next(block.free_slots, None)
    return block, slot


def _attach(block: _Block, first: int, count: int) -> SharedInts:
    numbers = SharedInts.__new__(SharedInts)
    numbers._block, numbers._first, numbers._count = block, first, count
    return numbers


def _copy_blocks() -> None:
    """Make the copies of a rank before it forks, so that the rank and its workers have the same memory."""
    for block in list(_BLOCKS):
        block.numbers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_copy_blocks)
