"""Transfer of batches from workers to the main process, over shared memory that is reused.

torch creates, maps and unlinks a segment for every tensor of every batch. Here a worker has a ring of slots (`SlotPool`); a
batch with all its tensors is in one slot, and about 250 bytes cross the queue. The receiver maps a slot once and frees it
when the last tensor over it is garbage collected, so a batch in use is never overwritten.

The receiver opens a slot as `/proc/PID/fd/N`. Passing descriptors over a socket (`multiprocessing.reduction.DupFd`) also
needs the living worker, and leaves a folder behind when the worker is killed. A loader reads all that a worker sent before
it ends the worker. Without `memfd`, `/proc` or permission, or beyond the bounds of the pool, batches are sent as torch
does; KARSL_BATCH_TRANSFER=torch forces that. The entry point is `allocate_shared`.
"""

from __future__ import annotations

import math
import mmap
import multiprocessing
import os
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.random  # noqa: F401 - torch seeds it in every worker: imported here it is inherited by a fork
import torch
from torch.utils.data import get_worker_info

from karsl.errors import SHARED_MEMORY_REMEDY, BatchLostError, ConfigError, first_line
from karsl.io.shared_file import SharedFile

MEMFD_NAME = "karsl-batch"
MAX_SLOTS, MAX_BYTES = 64, 1 << 30  # per worker, reached only if batches are kept; each slot has a descriptor
HEADER_BYTES = 4096  # one page, so that the batch behind it starts on a page
FREE, SENT, HELD, RETIRED = range(4)
_ALIGNMENT = 64  # bytes: a cache line
_MAX_FREE_BLOCKS = 2
_MADV_POPULATE_WRITE = 23  # which Python does not name

Spec = Mapping[str, tuple[Sequence[int], "np.typing.DTypeLike"]]
_Layout = Mapping[str, tuple[np.dtype, tuple[int, ...], int]]  # dtype, shape, offset


# ---- memory that is lent to a batch ----

_forks = 0  # of this process so far


class Lease:
    """Owner of the bytes of one batch, uint8: calls `end` once, in any thread, when nothing refers to them any more.

    Views, slices, `tensor.numpy()` and everything that shares a tensor's storage keep the lease alive. A process that
    inherits a lease through a fork does not end it.
    """

    def __init__(self, memory: np.ndarray, end: Callable, *args: object) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory = memory
        self._end = weakref.finalize(self, _end_in_process, os.getpid(), end, args)
        self._end.atexit = False

    def array(self) -> np.ndarray:
        """Return the bytes as an array that keeps this lease alive."""
        return np.asarray(self)

    def detach(self) -> bool:
        """Leave it to the receiver to end the lease. Return False if it was detached before."""
        return self._end.detach() is not None


def _end_in_process(pid: int, end: Callable, args: tuple) -> None:
    if os.getpid() == pid:
        end(*args)


def has_room(size: int, nbytes: int) -> bool:
    """Return True if memory of `size` bytes is large enough for a batch, and not too large to be kept busy by it."""
    return nbytes <= size <= 8 * max(nbytes, HEADER_BYTES)


class BufferPool:
    """Memory of batches within one process, reused to avoid page faults.

    glibc recycles only blocks below 32 MiB: a batch (256, 50, 184, 4) was filled in 4 ms in reused memory and in 24 ms in
    fresh memory. At most two unused blocks are kept: a training loop uses one batch and fills another.

    Args:
        max_free: Number of unused blocks that are kept.
    """

    def __init__(self, *, max_free: int = _MAX_FREE_BLOCKS) -> None:
        self._max_free = max_free
        self._free: dict[int, np.ndarray] = {}  # by id; every access is atomic, since leases end in any thread

    def acquire(self, nbytes: int) -> np.ndarray:
        """Return uint8 (at least nbytes,) with undefined contents."""
        for key, block in list(self._free.items())[::-1]:  # most recently used first
            if has_room(len(block), nbytes) and self._free.pop(key, None) is not None:
                break
        else:
            block = np.empty(nbytes + _ALIGNMENT, np.uint8)  # wide stores across two cache lines are slow
            first = -block.ctypes.data % _ALIGNMENT
            block = block[first : first + nbytes]
        return Lease(block, self._release, block).array()

    def _release(self, block: np.ndarray) -> None:
        while len(self._free) >= self._max_free:
            self._free.pop(next(iter(list(self._free)), 0), None)
        self._free[id(block)] = block


class Address(NamedTuple):
    """Address of a batch: the file of its slot in the process of the worker, and the generation of the slot."""

    pid: int
    fd: int
    inode: int
    size: int
    generation: int

    @property
    def path(self) -> str:
        """File of the slot, as other processes open it."""
        return f"/proc/{self.pid}/fd/{self.fd}"


class Slot:
    """Shared memory for one batch after the other: a page with the state, then the bytes.

    Only one side at a time writes the state, so no lock is needed: the worker changes FREE to SENT, the receiver SENT to
    HELD, and to FREE when the batch is garbage collected, or to RETIRED if the slot must not be used again.
    """

    def __init__(self, mapped: np.ndarray, address: Address, file: SharedFile | None = None) -> None:
        self.address, self._file = address, file  # the receiver opens the descriptor of the worker
        self._state, self._generation, self.memory = mapped[:1], mapped[8:16].view(np.uint64), mapped[HEADER_BYTES:]
        self._lease: Callable[[], Lease | None] = lambda: None

    @classmethod
    def create(cls, size: int) -> Slot:
        """Allocate the memory at once: 4 ms for 9 MB, by page faults 15 ms. Called in the worker."""
        file = SharedFile.in_memory(MEMFD_NAME)
        os.posix_fallocate(file.fd, 0, size)  # an OSError without memory, which would otherwise be a bus error later
        region = mmap.mmap(file.fd, size)
        with suppress(OSError):  # Linux before 5.14
            region.madvise(_MADV_POPULATE_WRITE)
        address = Address(os.getpid(), file.fd, os.fstat(file.fd).st_ino, size, generation=0)
        return cls(np.frombuffer(region, np.uint8), address, file)

    @classmethod
    def open(cls, address: Address) -> Slot:
        """Map the file of a worker, or raise BatchLostError. Called in the receiver."""
        try:
            # pids are reused: check the name before the file is opened
            if not os.readlink(address.path).startswith(f"/memfd:{MEMFD_NAME}"):
                raise FileNotFoundError(f"{address.path} is another file")
            with open(address.path, "r+b", buffering=0) as file:  # closed even if torch's signal handler raises here
                if os.fstat(file.fileno()).st_ino != address.inode:
                    raise FileNotFoundError(f"{address.path} is another file")
                # torch maps without a descriptor; Python's mmap keeps one per slot, so kept batches would end at EMFILE
                path = f"/proc/self/fd/{file.fileno()}"
                mapped = torch.from_file(path, shared=True, size=address.size, dtype=torch.uint8)
        except (OSError, RuntimeError) as error:  # torch reports a failed map as a RuntimeError
            raise BatchLostError(
                f"a batch of worker {address.pid} cannot be reached ({error}); the worker was killed, or this process may "
                "not access it: then set KARSL_BATCH_TRANSFER=torch in the environment"
            ) from error
        return cls(mapped.numpy(), address)

    @property
    def state(self) -> int:
        """FREE, SENT, HELD or RETIRED."""
        return int(self._state[0])

    @property
    def is_free(self) -> bool:
        """True if neither the receiver nor this process uses it."""
        return self.state == FREE and self._lease() is None

    def retire(self) -> None:
        """Mark the slot as RETIRED: it is not used again, and the receiver may unmap it."""
        self._state[0] = RETIRED

    def acquire(self) -> tuple[Lease, Address]:
        """Lend a free slot to a new batch; return its lease and address. Called in the worker."""
        self._generation[0] += np.uint64(1)
        self._state[0] = SENT
        return self._lend(), self.address._replace(generation=int(self._generation[0]))

    def receive(self, generation: int) -> Lease | None:
        """Hold the batch of a generation; None if it was received before. Called in the receiver."""
        if self.state != SENT or int(self._generation[0]) != generation:
            return None
        self._state[0] = HELD
        return self._lend()

    def _lend(self) -> Lease:
        lease = Lease(self.memory, _set_free, self._state, _forks)
        self._lease = weakref.ref(lease)
        return lease


def _set_free(state: np.ndarray, forks_before: int) -> None:
    state[0] = FREE if _forks == forks_before else RETIRED  # a child forked since may hold the batch too


def _count_fork() -> None:
    global _forks
    _forks += 1


# ---- in the worker ----


class SlotPool:
    """Slots in anonymous memory (`memfd`), which has no name and is freed with the last process that maps it.

    The first free slot is used, so that a loop that drops its batches uses few slots. If none is free a slot is added, up
    to `max_slots` of together `max_bytes` bytes. Only the process `pid` may use the pool.
    """

    def __init__(self, *, max_slots: int = MAX_SLOTS, max_bytes: int = MAX_BYTES) -> None:
        self.pid = os.getpid()
        self.max_slots, self.max_bytes = max_slots, max_bytes
        self._slots: list[Slot] = []
        self._lock = threading.Lock()

    def acquire(self, nbytes: int) -> tuple[Lease, Address] | None:
        """Return memory for a batch of `nbytes` bytes with undefined contents; None at the bounds.

        Raises:
            OSError: If the system has no memory or descriptor left.
        """
        with self._lock:
            self._slots = [slot for slot in self._slots if slot.state != RETIRED]
            slot = next((slot for slot in self._slots if slot.is_free and has_room(len(slot.memory), nbytes)), None)
            if slot is None:
                # rounded up to pages and by at most an eighth, so that batches of similar size share slots
                step = max(HEADER_BYTES, 1 << max(0, nbytes.bit_length() - 4))
                size = HEADER_BYTES + -(-nbytes // step) * step
                while len(self._slots) >= self.max_slots or size + sum(s.address.size for s in self._slots) > self.max_bytes:
                    unused = next((s for s in self._slots if s.is_free), None)  # of another size
                    if unused is None:
                        return None
                    unused.retire()
                    self._slots.remove(unused)
                slot = Slot.create(size)
                self._slots.append(slot)
            return slot.acquire()


def can_share_with_parent() -> bool:
    """Return True if the parent process may open descriptors of this one through `/proc`.

    Checked in the other direction: a process that may read the `/proc` entries of its parent and has the same user,
    groups, capabilities and namespace may be read by it (`ptrace(2)`).
    """
    parent = multiprocessing.parent_process()
    if parent is None or not hasattr(os, "memfd_create"):
        return False
    with suppress(OSError):
        os.readlink(f"/proc/{parent.pid}/exe")
        return _credentials("self") == _credentials(str(parent.pid))
    return False


def _credentials(process: str) -> tuple:
    folder = Path("/proc", process)
    wanted = ("Uid:", "Gid:", "CapPrm:", "CapEff:")
    lines = [line for line in (folder / "status").read_text().splitlines() if line.startswith(wanted)]
    return lines, (folder / "fd").stat().st_uid, os.readlink(folder / "ns/user"), os.readlink(folder / "ns/pid")


_buffers = BufferPool()
_pool: SlotPool | None = None


class SharedBatch(dict):
    """Dict of tensors over uint8 `memory`, returned by a worker; the receiver gets a plain dict.

    Entries may be added, removed, sliced or replaced before it is sent: contiguous tensors in the shared memory are sent as
    handles, all other entries as usual. Without lease and address of a slot, `memory` is a shared tensor of torch.
    """

    def __init__(
        self, tensors: Mapping, memory: torch.Tensor, lease: Lease | None = None, address: Address | None = None
    ) -> None:
        super().__init__(tensors)
        self.memory, self.lease, self.address = memory, lease, address

    def __reduce__(self) -> tuple:
        return dict, (dict(self),)  # a copy or a file; between processes: _send

    def handle(self, value: object) -> tuple | None:
        """Return (dtype, shape, offset) of a contiguous tensor in the shared memory, None for any other value."""
        if type(value) is not torch.Tensor or value.device.type != "cpu" or value.requires_grad:
            return None
        offset = value.data_ptr() - self.memory.data_ptr()
        inside = offset >= 0 and offset + value.nbytes <= self.memory.nbytes and value.numel() > 0
        return (value.dtype, tuple(value.shape), offset) if inside and value.is_contiguous() else None


def allocate_shared(spec: Spec) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Allocate the memory of one batch, to be filled and returned by a collate function.

    Args:
        spec: Shape and dtype of each entry.

    Returns:
        Arrays to fill, with undefined contents, and the batch: tensors over the same memory, in a worker of a DataLoader as
        a `SharedBatch`. Do not write to the arrays after the batch is returned.

    Raises:
        ConfigError: If the system has no shared memory left for a worker.

    Example:
        >>> arrays, batch = allocate_shared({"inputs": ((2, 3), np.float32), "label": ((2,), np.int64)})
        >>> arrays["inputs"][:] = 1
        >>> arrays["label"][:] = [4, 5]
        >>> batch
        {'inputs': tensor([[1., 1., 1.], [1., 1., 1.]]), 'label': tensor([4, 5])}
    """
    layout, nbytes = _layout(tuple((key, tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in spec.items()))
    if get_worker_info() is None:
        return _views(_buffers.acquire(nbytes), layout)
    lease, address = _acquire_slot(nbytes) or (None, None)
    if lease is not None:
        memory = torch.from_numpy(lease.array())
    else:  # one tensor for all entries, since each on torch's queue costs 0.55 ms; shared already, so not copied later
        memory = torch.empty(0, dtype=torch.uint8).set_(new_shared_storage(nbytes))
    arrays, tensors = _views(memory.numpy(), layout)
    return arrays, SharedBatch(tensors, memory, lease, address)


def new_shared_storage(nbytes: int) -> torch.UntypedStorage:
    """Return shared memory of torch, which other processes receive by pickle.

    Raises:
        ConfigError: If the system has none: `/dev/shm` is absent, read-only or full.
    """
    try:
        return torch.UntypedStorage._new_shared(nbytes)
    except RuntimeError as error:
        raise ConfigError(f"no {nbytes:,} bytes of shared memory ({first_line(error)}); {SHARED_MEMORY_REMEDY}") from error


def _acquire_slot(nbytes: int) -> tuple[Lease, Address] | None:
    global _pool
    if _pool is None or _pool.pid != os.getpid():  # a pool inherited through a fork belongs to the parent
        shared = os.environ.get("KARSL_BATCH_TRANSFER", "shared") != "torch" and can_share_with_parent()
        _pool = SlotPool() if shared else SlotPool(max_slots=0)
    with suppress(OSError):  # no descriptor or memory left
        return _pool.acquire(nbytes)
    return None


@lru_cache(maxsize=64)
def _layout(entries: tuple[tuple[str, tuple[int, ...], np.dtype], ...]) -> tuple[_Layout, int]:
    """Return dtype, shape and offset of each entry, and the size of all in bytes."""
    layout, end = {}, 0
    for key, shape, dtype in entries:
        sizes = tuple(map(int, shape))
        layout[key] = dtype, sizes, end
        end += -(-dtype.itemsize * math.prod(sizes) // _ALIGNMENT) * _ALIGNMENT
    return layout, max(end, _ALIGNMENT)


def _views(raw: np.ndarray, layout: _Layout) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    arrays = {key: np.ndarray(shape, dtype, raw, offset) for key, (dtype, shape, offset) in layout.items()}
    return arrays, {key: torch.from_numpy(array) for key, array in arrays.items()}


def _send(batch: SharedBatch) -> tuple:
    """Reduce a batch for `multiprocessing`."""
    if batch.address is not None and not (batch.lease and batch.lease.detach()):
        return dict, (dict(batch),)  # sent before: its slot is the receiver's now, so copy
    entries = [(key, batch.handle(value)) for key, value in batch.items()]
    others = {key: batch[key] for key, handle in entries if handle is None}
    return _receive_batch, (tuple(batch.address) if batch.address else batch.memory, entries, others)


# ---- in the receiver ----

_received: dict[int, dict[int, Slot]] = {}  # slots by pid of the worker and inode


def _receive_batch(source: tuple | torch.Tensor, entries: list[tuple[str, tuple | None]], others: dict) -> dict:
    """Return the batch as a plain dict of tensors."""
    raw = source.numpy() if isinstance(source, torch.Tensor) else receive(Address(*source))

    def tensor(dtype: torch.dtype, shape: tuple[int, ...], offset: int) -> torch.Tensor:
        nbytes = dtype.itemsize * math.prod(shape)
        return torch.from_numpy(raw[offset : offset + nbytes]).view(dtype).view(shape)

    return {key: others[key] if handle is None else tensor(*handle) for key, handle in entries}


def receive(address: Address) -> np.ndarray:
    """Return the bytes of a batch, uint8; its slot is free again when no array or tensor over them is left.

    Raises:
        BatchLostError: If the worker died, or the message was received twice.
    """
    slots = _received.get(address.pid)
    if slots is None:
        slots = _add_worker(address.pid)
    if address.inode not in slots:
        for inode in [key for key, slot in list(slots.items()) if slot.state == RETIRED]:
            slots.pop(inode, None)
        slots[address.inode] = Slot.open(address)
    lease = slots[address.inode].receive(address.generation)
    if lease is None:
        raise BatchLostError(f"a batch of worker {address.pid} was received twice; a message can be unpickled only once")
    return lease.array()


def _add_worker(pid: int) -> dict:
    """Add the slots of a worker, removed when its `Process` object is garbage collected with the loader's iterator."""
    for other, slots in list(_received.items()):
        if not _is_alive(slots):
            _remove_worker(other, slots)
    slots = _received[pid] = {}
    for process in multiprocessing.active_children():
        if process.pid == pid:
            weakref.finalize(process, _remove_worker, pid, slots).atexit = False
    return slots


def _remove_worker(pid: int, slots: dict) -> None:
    slots.clear()  # batches in use keep their memory
    if _received.get(pid) is slots:
        del _received[pid]


def _remove_workers() -> None:
    for pid, slots in list(_received.items()):
        _remove_worker(pid, slots)


def _is_alive(slots: dict[int, Slot]) -> bool:
    """Return True if the worker exists, for receivers that are not its parent and have no `Process` object of it."""
    with suppress(OSError):
        return any(os.stat(slot.address.path).st_ino == slot.address.inode for slot in list(slots.values())[-1:])
    return False


if hasattr(os, "register_at_fork"):
    # a child does not keep the memory of other workers alive; batches that it inherits stay mapped
    os.register_at_fork(before=_count_fork, after_in_child=_remove_workers)
ForkingPickler.register(SharedBatch, _send)
