"""A toy dataset whose batches contain their expected content, and the processes that the fault tests start and kill.

Run as `python transfer_cases.py kill-workers EPOCHS KILLS SEED`, `... kill-self` or `... epochs START_METHOD`.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from karsl.datasets.transfer import allocate_shared
from karsl.errors import BatchLostError


class Numbers(Dataset):
    """Clip i is full of i, and a little more in each frame."""

    def __init__(self, count=24, frames=3):
        self.count, self.frames = count, frames

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        n = len(indices)
        spec = {
            "inputs": ((n, self.frames, 5, 4), np.float32),
            "keypoint_mask": ((n, self.frames, 5), np.bool_),
            "label": ((n,), np.int64),
            "sample_idx": ((n,), np.int64),
        }
        arrays, batch = allocate_shared(spec)
        ids = np.asarray(indices)
        arrays["inputs"][:] = ids[:, None, None, None] + np.arange(self.frames)[:, None, None] / 1024
        arrays["keypoint_mask"][:] = (ids % 2 == 0)[:, None, None]
        arrays["label"][:] = ids % 7
        arrays["sample_idx"][:] = ids
        return batch


def same(batch):
    return batch


def loader_of(dataset=None, *, batch_size=4, workers=2, collate_fn=same, **kwargs):
    return DataLoader(dataset or Numbers(), batch_size=batch_size, num_workers=workers, collate_fn=collate_fn, **kwargs)


def is_right(batch) -> bool:
    ids = batch["sample_idx"]
    frames = torch.arange(batch["inputs"].shape[1])[:, None, None] / 1024
    inputs = (batch["inputs"] == ids[:, None, None, None] + frames).all()
    mask = (batch["keypoint_mask"] == (ids % 2 == 0)[:, None, None]).all()
    return bool(inputs and mask and (batch["label"] == ids % 7).all()) and type(batch) is dict


def mapped() -> list[tuple[int, int]]:
    """First and last address of each piece of memory from our workers."""
    lines = [x for x in Path("/proc/self/maps").read_text().splitlines() if "memfd:karsl-batch" in x]
    return [tuple(int(x, 16) for x in line.split()[0].split("-")) for line in lines]


def is_shared(batch) -> bool:
    """Return True if the batch is in memory that a worker wrote."""
    return any(first <= batch["inputs"].data_ptr() < last for first, last in mapped())


def leftovers(pids=()) -> dict:
    """What this process and the workers with `pids` could leak."""
    gc.collect()
    held = [_target(fd) for fd in Path("/proc/self/fd").iterdir()]
    shm = os.listdir("/dev/shm") if Path("/dev/shm").is_dir() else []
    return {
        "shm": [x for x in shm if x.startswith("torch_") and int(x.split("_")[1]) in {os.getpid(), *pids}],
        "fds": sum(x.startswith(("/memfd:", "/dev/", "anon_inode:")) for x in held),  # no files of other threads
        "pipes": sum(x.startswith("pipe:") for x in held),
        "memfds": [x for x in held if "memfd:karsl" in x],
        "maps": mapped(),
        "children": workers(),
    }


def _target(path) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # the descriptor of the listing itself
        return ""


def kill_workers(epochs: int, kills: int, seed: int) -> None:
    """Train on, with workers killed at random moments; prints what was there before and after."""
    rng = random.Random(seed)
    list(loader_of(workers=4))
    before, deaths, right, pids = leftovers(), 0, True, set()
    deadly = set(rng.sample(range(epochs), kills))
    loader = batches = None
    for epoch in range(epochs):
        victim = None
        try:
            try:
                if loader is None:
                    loader = loader_of(workers=4, persistent_workers=epoch % 20 != 0 or epoch in deadly)
                batches = iter(loader)
                pids.update(workers())
                if epoch in deadly:
                    victim = rng.choice(batches._workers)
                    threading.Timer(rng.random() * 0.02, os.kill, (victim.pid, signal.SIGKILL)).start()
                right = train(batches) and right
            finally:
                if victim is not None:
                    wait_for_end(victim)  # torch's handler of the signal raises here at the latest
        except RuntimeError as error:  # torch's, or ours when the batch of a dead worker came first
            if victim is None or not names_a_dead_worker(error):
                raise
        if victim is not None:  # torch's error may also be lost in a finaliser that it interrupted
            victim.join()
            deaths, loader = deaths + (victim.exitcode == -signal.SIGKILL), None
        if loader is not None and not loader.persistent_workers:
            loader = None
        batches = victim = None  # a worker's memory goes with its Process object
    del loader
    print(json.dumps({"before": before, "after": leftovers(pids), "deaths": deaths, "right": right}))


def train(batches) -> bool:
    """An epoch that holds its latest batches, and either fails or gives all of them."""
    keep, right, clips = [], True, 0
    for batch in batches:
        keep, clips = [*keep[-3:], batch], clips + len(batch["label"])
        right = right and is_right(batch)
    return right and all(map(is_right, keep)) and clips == len(Numbers())


def wait_for_end(worker) -> None:
    with suppress(ChildProcessError):  # multiprocessing has waited for it
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)


def names_a_dead_worker(error: RuntimeError) -> bool:
    words = ("killed by signal", "exited unexpectedly")
    return isinstance(error, BatchLostError) or any(x in str(error) for x in words)


def workers() -> list[int]:
    return [p.pid for p in multiprocessing.active_children()]


def kill_self() -> None:
    """Die in the middle of an epoch, holding batches."""
    batches = iter(loader_of(workers=2, batch_size=2))
    held = [next(batches), next(batches)]  # one of each: a torch worker that starts after the death never notices it
    print(json.dumps({"workers": workers(), "shared": all(map(is_shared, held))}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def run_epochs(method: str) -> None:
    """A loader in a process that is not the main one."""
    torch.set_num_threads(1)
    loader = loader_of(persistent_workers=True, multiprocessing_context=method)
    batches = [batch for _ in range(3) for batch in loader]
    if not all(map(is_right, batches)) or not any(map(is_shared, batches)):
        sys.exit("wrong batches")


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    if action == "kill-workers":
        kill_workers(*map(int, rest))
    elif action == "kill-self":
        kill_self()
    else:
        run_epochs(*rest)
