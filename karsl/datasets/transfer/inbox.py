"""The receiving side: slots of workers, each mapped once and kept while its worker lives."""

from __future__ import annotations

import multiprocessing
import os
import weakref
from contextlib import suppress

import numpy as np

from karsl.datasets.transfer.arena import NAME, Address
from karsl.datasets.transfer.slot import RETIRED, Slot
from karsl.errors import BatchLostError

_SLOTS: dict[int, dict[int, tuple[Slot, Address]]] = {}  # of each worker's pid, by inode


def receive(address: Address) -> np.ndarray:
    """The bytes of a batch; its slot is free again when nothing looks at them any more.

    Args:
        address: As sent.

    Returns:
        uint8 (bytes of the slot,).

    Raises:
        BatchLostError: The worker died, or the message was received twice.
    """
    slots = _SLOTS.get(address.pid)
    if slots is None:
        slots = _new_worker(address.pid)
    if address.inode not in slots:
        for inode in [x for x, (slot, _) in list(slots.items()) if slot.state == RETIRED]:
            slots.pop(inode, None)
        slots[address.inode] = _open(address), address
    loan = slots[address.inode][0].receive(address.turn)
    if loan is None:
        raise BatchLostError(f"a batch of worker {address.pid} was received twice; a message can be unpickled only once")
    return loan.array()


def _new_worker(pid: int) -> dict:
    """A place for its slots, left again when its `Process` object dies, as it does with the loader's iterator."""
    for other, slots in list(_SLOTS.items()):
        if not _lives(slots):
            _forget(other, slots)
    slots = _SLOTS[pid] = {}
    for process in multiprocessing.active_children():
        if process.pid == pid:
            weakref.finalize(process, _forget, pid, slots).atexit = False
    return slots


def _forget(pid: int, slots: dict) -> None:
    slots.clear()  # batches that are held keep their own memory
    if _SLOTS.get(pid) is slots:
        del _SLOTS[pid]


def _forget_all() -> None:
    for pid, slots in list(_SLOTS.items()):
        _forget(pid, slots)


def _lives(slots: dict[int, tuple[Slot, Address]]) -> bool:
    """Whether the worker is there, for receivers that are not its parent and have no `Process` object to watch."""
    with suppress(OSError):
        return any(os.stat(_place(address)).st_ino == address.inode for _, address in list(slots.values())[-1:])
    return False


def _place(address: Address) -> str:
    return f"/proc/{address.pid}/fd/{address.fd}"


def _open(address: Address) -> Slot:
    try:
        # A pid is used again at some time: look at the name before anything is opened.
        if not os.readlink(_place(address)).startswith(f"/memfd:{NAME}"):
            raise FileNotFoundError(f"{_place(address)} is another file")
        with open(_place(address), "r+b", buffering=0) as file:  # closed too if torch's handler of a death raises here
            if os.fstat(file.fileno()).st_ino != address.inode:
                raise FileNotFoundError(f"{_place(address)} is another file")
            return Slot.open(file.fileno(), address.size)
    except (OSError, RuntimeError) as error:  # torch reports a failed map as a RuntimeError
        raise BatchLostError(
            f"a batch of worker {address.pid} cannot be reached ({error}); the worker was killed, or this process may not "
            "look into it: then set KARSL_BATCH_TRANSFER=torch in the environment"
        ) from error


if hasattr(os, "register_at_fork"):
    # Workers of the next epoch do not keep the memory of the last one's alive; batches they inherit stay mapped.
    os.register_at_fork(after_in_child=_forget_all)
