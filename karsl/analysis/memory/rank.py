"""One rank of a memory probe: makes a loader, runs it, and stops at each point so that the observer can look."""

from __future__ import annotations

import json
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from karsl.analysis.memory.pages import RecordPages, record_pages
from karsl.analysis.memory.samples import Case
from karsl.io.atomic import atomic_path

MakeLoader = Callable[[Case, int], DataLoader]


@dataclass(frozen=True)
class Plan:
    """What a rank does.

    Args:
        make_loader: Called with the case and the rank's number, in the rank's process; must pickle.
        folder: Where workers leave notes.
        epochs: How often the loader is run through.
        iters: Stop after so many batches, None for all.
        points: About how many times to stop and look.
    """

    make_loader: MakeLoader
    case: Case
    folder: Path
    epochs: int = 1
    iters: int | None = None
    points: int = 20


class NotingWorkers:
    """A `worker_init_fn` that notes where the worker has its records, after the loader's own."""

    def __init__(self, folder: Path, inner: Callable[[int], None] | None) -> None:
        self._folder, self._inner = folder, inner

    def __call__(self, worker_id: int) -> None:
        if self._inner is not None:
            self._inner(worker_id)
        if (worker := get_worker_info()) is not None:
            write_note(self._folder, record_pages(worker.dataset))


def write_note(folder: Path, pages: list[RecordPages]) -> None:
    """Leave a note of this process."""
    with atomic_path(folder / f"{os.getpid()}.json") as part:
        part.write_text(json.dumps([asdict(p) for p in pages]))


def read_note(folder: Path, pid: int) -> list[RecordPages]:
    """The note of a process, nothing if it left none."""
    with suppress(OSError):
        return [RecordPages(**entry) for entry in json.loads((folder / f"{pid}.json").read_text())]
    return []


def run_rank(connection: Connection, plan: Plan, rank: int) -> None:
    """Body of a rank's process; sends ('made' | 'at' | 'done' | 'error', facts) and waits for a word after each 'at'."""
    try:
        start = time.perf_counter()
        loader = plan.make_loader(plan.case, rank)
        length = len(loader.dataset)  # type: ignore[arg-type]
        facts = {"seconds": time.perf_counter() - start, "records": length, "pickled": _pickled_bytes(loader.dataset)}
        connection.send(("made", facts))
        loader.worker_init_fn = NotingWorkers(plan.folder, loader.worker_init_fn)
        write_note(plan.folder, record_pages(loader.dataset))
        for iteration, epoch, workers in _points(loader, plan):
            connection.send(("at", {"iteration": iteration, "epoch": epoch, "workers": workers}))
            connection.recv()
        connection.send(("done", {}))
    except Exception as error:
        connection.send(("error", {"text": str(error), "error": error if _pickles(error) else None, "trace": _trace()}))


def _points(loader: DataLoader, plan: Plan) -> Iterator[tuple[int, int, list[int]]]:
    """Run the loader; gives batches so far, epoch and worker pids at about `plan.points` even moments and at the end."""
    total = len(loader) * plan.epochs if plan.iters is None else plan.iters
    step = max(1, total // max(1, plan.points - 1))
    iteration, epoch, workers = 0, 0, list[int]()
    while iteration < total:
        before = iteration
        batches = iter(loader)
        workers = [process.pid for process in getattr(batches, "_workers", [])]
        for _ in batches:
            iteration += 1
            if iteration % step == 0 or iteration == 1:
                yield iteration, epoch, workers
            if iteration >= total:
                break
        epoch += 1
        if iteration == before:
            break  # an empty loader
    if iteration % step:
        yield iteration, epoch - 1, workers


def _pickled_bytes(dataset: Any) -> int | None:
    """Through the pickler that DataLoader uses, and None for what only a fork can carry."""
    try:
        return len(ForkingPickler.dumps(dataset))
    except (TypeError, AttributeError, pickle.PicklingError, RuntimeError):
        return None


def _pickles(error: Exception) -> bool:
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:  # an exception may fail to pickle in any way
        return False


def _trace() -> str:
    return traceback.format_exc(limit=-3)
