"""A few integers that a process shares with the DataLoader workers which it starts, and with no other process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from multiprocessing.context import get_spawning_popen

import numpy as np
import torch
from torch.utils.data import get_worker_info

_WIDTH = 8  # numbers of one object: a cache line
_PLACES = 1024


class SharedNumbers:
    """Up to 8 integers. What a process writes, its DataLoader workers see, and the other way round.

    A process of another kind that gets them, such as a rank that was forked or spawned, goes on with a copy of its own,
    which it shares with its own workers. A copy by `copy.deepcopy` or plain pickle is a new object with the same numbers.
    A thousand objects cost one file descriptor.

    Args:
        values: At most 8 numbers of int64.

    Example:
        >>> numbers = SharedNumbers([5, 0])
        >>> numbers[1] = 7
        >>> numbers[0], numbers.tolist()
        (5, [5, 7])
    """

    def __init__(self, values: Sequence[int]) -> None:
        self._block, self._first = _free_place()
        self._count = len(values)
        self._block.numbers()[self._first : self._first + self._count] = values

    def __getitem__(self, at: int) -> int:
        return int(self._block.numbers()[self._first + at])

    def __setitem__(self, at: int, value: int) -> None:
        self._block.numbers()[self._first + at] = value

    def tolist(self) -> list[int]:
        """All of them, read once."""
        return self._block.numbers()[self._first : self._first + self._count].tolist()

    def __deepcopy__(self, memo: dict) -> SharedNumbers:
        return SharedNumbers(self.tolist())

    def __reduce__(self) -> tuple:
        if get_spawning_popen() is None:  # a plain pickle, for whoever reads it
            return SharedNumbers, (self.tolist(),)
        return _attached, (self._block, self._first, self._count)


class _Block:
    """Shared memory for many objects. No place is given twice, so no worker that is late meets numbers of another."""

    latest: _Block | None = None

    def __init__(self) -> None:
        self.places: Iterator[int] = iter(range(0, _PLACES * _WIDTH, _WIDTH))
        self._hold(_zeros(), os.getpid())

    def _hold(self, tensor: torch.Tensor, owner: int) -> None:
        self._tensor, self._array, self.owner = tensor, tensor.numpy(), owner
        _BLOCKS.add(self)

    def numbers(self) -> np.ndarray:
        """The memory: that of the process which made it in that process and its workers, else a copy from now on."""
        if self.owner != os.getpid() and get_worker_info() is None:
            tensor = _zeros()
            tensor.numpy()[:] = self._array  # not by torch, whose copy may wait for threads that a fork left behind
            self._hold(tensor, os.getpid())
        return self._array

    def __getstate__(self) -> tuple[torch.Tensor, int]:
        self.numbers()  # a rank takes its copy before its workers begin
        return self._tensor, self.owner

    def __setstate__(self, state: tuple[torch.Tensor, int]) -> None:
        self.places = iter(())
        self._hold(*state)


_BLOCKS: weakref.WeakSet[_Block] = weakref.WeakSet()


def _zeros() -> torch.Tensor:
    storage = torch.UntypedStorage._new_shared(8 * _PLACES * _WIDTH)
    return torch.empty(0, dtype=torch.int64).set_(storage)


def _free_place() -> tuple[_Block, int]:
    """A place in memory of this very process; `next` of a range is one step, so threads need no lock."""
    block = _Block.latest
    place = next(block.places, None) if block is not None and block.owner == os.getpid() else None
    while block is None or place is None:
        block = _Block.latest = _Block()
        place = next(block.places, None)
    return block, place


def _attached(block: _Block, first: int, count: int) -> SharedNumbers:
    numbers = SharedNumbers.__new__(SharedNumbers)
    numbers._block, numbers._first, numbers._count = block, first, count
    return numbers


def _take_copies() -> None:
    """Before a fork, so that a rank and the workers it forks have the same memory."""
    for block in list(_BLOCKS):
        block.numbers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take_copies)
