"""Batches from worker to parent in one small message, over shared memory that is used again.

torch's own way makes, maps, fills with zero pages, unmaps and unlinks a segment for every tensor of every batch. Here a
worker keeps a ring of slots (`BatchArena`); a batch lies in one slot with all its tensors, and about 250 bytes cross
the queue. The parent maps a slot once and frees it for the next batch when the last tensor over it dies, so a batch that
is kept is never overwritten.

The parent opens a slot as `/proc/PID/fd/N`. Passing descriptors over a socket (`multiprocessing.reduction.DupFd`, torch's
way) would need the living worker just as much, since it serves them from a thread of its own, and it leaves a socket folder
behind when the worker is killed. A loader reads all that a worker sent before it lets the worker end, and a slot that has
been seen once needs the worker no more. Where `memfd` or `/proc` is missing, or the parent may not look into the worker,
the worker finds out at its first batch and batches travel torch's way, as they do beyond the arena's bound. To ask for
torch's way, set KARSL_BATCH_TRANSFER=torch.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from multiprocessing.reduction import ForkingPickler

import numpy as np
import numpy.random  # noqa: F401 - torch seeds it in every worker: loaded here it is forked, not imported anew each time
import torch
from torch.utils.data import get_worker_info

from karsl.datasets.transfer.arena import Address, BatchArena, parent_reaches_us
from karsl.datasets.transfer.inbox import receive
from karsl.datasets.transfer.pool import BatchPool
from karsl.datasets.transfer.slot import Loan

Spec = Mapping[str, tuple[Sequence[int], "np.typing.DTypeLike"]]
_Places = Mapping[str, tuple[np.dtype, tuple[int, ...], int]]  # dtype, shape, first byte
_ALIGNMENT = 64  # bytes: a cache line
_POOL = BatchPool()
_arena: BatchArena | None = None


class SharedBatch(dict):
    """What a worker returns: a dict of tensors over one piece of shared memory; the parent receives a plain dict.

    Entries may be added, dropped, sliced or replaced on the way: what lies in the shared memory, contiguous, travels by
    its place, everything else the usual way.

    Args:
        tensors: All in `memory`.
        memory: Its bytes, uint8.
        loan: Of the slot; None if `memory` is a shared tensor of torch.
        address: Of the slot.
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        memory: torch.Tensor,
        loan: Loan | None = None,
        address: Address | None = None,
    ) -> None:
        super().__init__(tensors)
        self.memory, self.loan, self.address = memory, loan, address

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)  # a copy or a file; between processes: _send

    def place_of(self, value: object) -> tuple | None:
        """(dtype, shape, first byte) of a tensor that lies in the shared memory as it would lie in a file."""
        if type(value) is not torch.Tensor or value.device.type != "cpu" or value.requires_grad:
            return None
        first = value.data_ptr() - self.memory.data_ptr()
        inside = first >= 0 and first + value.nbytes <= self.memory.nbytes and value.numel() > 0
        return (value.dtype, tuple(value.shape), first) if inside and value.is_contiguous() else None


def batch_buffer(spec: Spec) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Memory for one batch, to be filled and returned by a collate function.

    Args:
        spec: Shape and dtype of each entry.

    Returns:
        Arrays to fill, their contents undefined, and the batch: tensors over the same memory. In a worker of a DataLoader
        the batch is a `SharedBatch`, else a plain dict. Arrays must not be written to once the batch is returned.

    Example:
        >>> arrays, batch = batch_buffer({"inputs": ((2, 3), np.float32), "label": ((2,), np.int64)})
        >>> arrays["inputs"][:] = 1
        >>> arrays["label"][:] = [4, 5]
        >>> batch
        {'inputs': tensor([[1., 1., 1.], [1., 1., 1.]]), 'label': tensor([4, 5])}
    """
    places, nbytes = _layout(spec)
    if get_worker_info() is None:
        arrays = _arrays(_POOL.take(nbytes), places)
        return arrays, _tensors(arrays)
    taken = _take(nbytes)
    if taken is None:
        memory = _torch_shared(nbytes)
        arrays = _arrays(memory.numpy(), places)
        return arrays, SharedBatch(_tensors(arrays), memory)
    loan, address = taken
    raw = loan.array()
    arrays = _arrays(raw, places)
    return arrays, SharedBatch(_tensors(arrays), torch.from_numpy(raw), loan, address)


def _take(nbytes: int) -> tuple[Loan, Address] | None:
    """A slot of this process's own arena; one inherited through a fork belongs to another."""
    global _arena
    if _arena is None or _arena.pid != os.getpid():
        ours = os.environ.get("KARSL_BATCH_TRANSFER", "shared") != "torch" and parent_reaches_us()
        _arena = BatchArena() if ours else BatchArena(max_slots=0)
    try:
        return _arena.take(nbytes)
    except OSError:  # no descriptor or memory left
        return None


def _torch_shared(nbytes: int) -> torch.Tensor:
    """uint8 (nbytes,), one for all entries: each on torch's queue costs 0.55 ms."""
    storage = torch.UntypedStorage._new_shared(nbytes)  # as torch's default_collate does in a worker: no copy later
    return torch.empty(0, dtype=torch.uint8).set_(storage)


def _layout(spec: Spec) -> tuple[_Places, int]:
    """Where each entry lies, and the bytes of all."""
    return _laid_out(tuple((key, tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in spec.items()))


@lru_cache(maxsize=64)
def _laid_out(entries: tuple[tuple[str, tuple[int, ...], np.dtype], ...]) -> tuple[_Places, int]:
    """The same for one batch after the other."""
    places, end = {}, 0
    for key, shape, kind in entries:
        sizes = tuple(map(int, shape))
        places[key] = kind, sizes, end
        end += -(-kind.itemsize * math.prod(sizes) // _ALIGNMENT) * _ALIGNMENT
    return places, max(end, _ALIGNMENT)


def _arrays(raw: np.ndarray, places: _Places) -> dict[str, np.ndarray]:
    return {key: np.ndarray(shape, dtype, raw, first) for key, (dtype, shape, first) in places.items()}


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def _send(batch: SharedBatch) -> tuple:
    """How `multiprocessing` pickles a batch."""
    if batch.address is not None and not (batch.loan and batch.loan.give_away()):
        return dict, (dict(batch),)  # sent before: its slot is the receiver's now, this one goes torch's way
    entries = [(key, batch.place_of(value)) for key, value in batch.items()]
    others = {key: batch[key] for key, place in entries if place is None}
    return _arrive, (tuple(batch.address) if batch.address else batch.memory, entries, others)


def _arrive(source: tuple | torch.Tensor, entries: list[tuple[str, tuple | None]], others: dict) -> dict:
    """The batch in the parent, a plain dict of tensors with memory of their own, as far as a user can see."""
    raw = source.numpy() if isinstance(source, torch.Tensor) else receive(Address(*source))
    return {key: others[key] if place is None else _tensor(raw, *place) for key, place in entries}


def _tensor(raw: np.ndarray, dtype: torch.dtype, shape: tuple[int, ...], first: int) -> torch.Tensor:
    nbytes = dtype.itemsize * math.prod(shape)
    return torch.from_numpy(raw[first : first + nbytes]).view(dtype).view(shape)


ForkingPickler.register(SharedBatch, _send)
