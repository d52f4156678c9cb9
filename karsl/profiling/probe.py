"""Memory probe: run a loader in separate processes and measure them from outside, so that measuring costs them nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, get_worker_info

from karsl.errors import KarslError, ProbeError
from karsl.io.atomic import atomic_path
from karsl.profiling.proc import PageCount, RecordPages, read_memory, record_pages
from karsl.profiling.results import Case, Point, ProcessSample, Series

MakeLoader = Callable[[Case, int], DataLoader]
Rank = tuple[BaseProcess, Connection]


def probe(
    make_loader: MakeLoader,
    case: Case,
    *,
    epochs: int = 1,
    iters: int | None = None,
    points: int = 20,
    on_point: Callable[[Point], None] = lambda point: None,
) -> Series:
    """Measure the memory of one case over one or more epochs.

    Args:
        make_loader: Picklable; called as `make_loader(case, rank)` in the new process of each rank. Its workers should be
            persistent, else they start again in each epoch.
        case: Configuration to run.
        epochs: Number of passes through the loader.
        iters: Number of batches after which to stop instead.
        points: Approximate number of measurements.
        on_point: Called with each point, for a progress display.

    Raises:
        KarslError: The loader raised it.
        ProbeError: A rank ended for any other reason.
    """
    context = multiprocessing.get_context("spawn")  # new processes, whatever this one has loaded
    series = Series(case)
    with tempfile.TemporaryDirectory(prefix="karsl-probe-") as folder:
        plan = ProbePlan(make_loader, case, Path(folder), epochs, iters, points)
        ranks = [_launch(context, plan, rank) for rank in range(case.ranks)]
        try:
            ready = [_receive(connection, process)[1] for process, connection in ranks]
            series.num_records, series.pickled_bytes = ready[0]["records"], ready[0]["pickled"]
            series.init_s = max(info["seconds"] for info in ready)
            while True:
                messages = [_receive(connection, process) for process, connection in ranks]
                if any(state == "done" for state, _ in messages):
                    break
                point = _sample_ranks(ranks, [info for _, info in messages], plan.folder)
                series.points.append(point)
                on_point(point)
                for _, connection in ranks:
                    connection.send("continue")
        finally:
            for process, connection in ranks:
                _stop(process, connection)
    if not series.points:
        raise ProbeError(f"the loader of {case.label} gave no batch; is the dataset empty?")
    return series


def sample_process(pid: int, rank: int, role: str, pages: list[RecordPages]) -> ProcessSample | None:
    """Measure one process; None when it has ended.

    Args:
        pid: Process ID.
        rank: Number of its rank.
        role: 'main' or 'worker 0', ...
        pages: Location of the records in that process.
    """
    memory = read_memory(pid)
    if memory is None:
        return None
    count = PageCount.total_of(area.count(pid) for area in pages)
    program = None if memory.pss_anon is None or memory.pss_shmem is None else memory.pss_anon + memory.pss_shmem
    kinds = "+".join(dict.fromkeys(area.kind for area in pages))
    num_bytes = sum(area.num_bytes for area in pages)
    return ProcessSample(
        rank, role, pid, memory.rss, memory.uss, memory.shared, memory.pss, program,
        kinds or None, num_bytes, None if count is None or not pages else count.private_ratio,
    )  # fmt: skip


def _launch(context: Any, plan: ProbePlan, rank: int) -> Rank:
    connection, remote = context.Pipe()
    process = context.Process(target=run_rank, args=(remote, plan, rank), name=f"rank {rank}")
    process.start()
    remote.close()
    return process, connection


def _receive(connection: Connection, process: BaseProcess) -> tuple[str, dict]:
    try:
        state, info = connection.recv()
    except EOFError:
        process.join()
        raise ProbeError(f"{process.name} of the probe ended with status {process.exitcode}; see its output above") from None
    if state == "error":
        if isinstance(info["error"], KarslError):
            raise info["error"]
        raise ProbeError(f"{process.name} of the probe failed: {info['text']}\n{info['trace']}")
    return state, info


def _stop(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    if process.is_alive():
        process.join(timeout=5)
    if process.is_alive():
        process.terminate()  # its workers see that their parent is gone and end
        process.join()


def _sample_ranks(ranks: list[Rank], infos: list[dict], folder: Path) -> Point:
    processes = []
    for rank, ((process, _), info) in enumerate(zip(ranks, infos, strict=True)):
        roles = {"main": process.pid, **{f"worker {i}": pid for i, pid in enumerate(info["workers"])}}
        for role, pid in roles.items():
            sample = sample_process(pid, rank, role, read_pages(folder, pid))
            if sample is not None:
                processes.append(sample)
    return Point(infos[0]["iteration"], infos[0]["epoch"], tuple(processes))


@dataclass(frozen=True)
class ProbePlan:
    """Instructions for a rank.

    Args:
        make_loader: Called with the case and the number of the rank, in the process of the rank; must be picklable.
        case: Configuration to run.
        folder: Folder in which processes record where their records are.
        epochs: Number of passes through the loader.
        iters: Number of batches after which to stop; None for all.
        points: Approximate number of measurements.
    """

    make_loader: MakeLoader
    case: Case
    folder: Path
    epochs: int = 1
    iters: int | None = None
    points: int = 20


class RecordWorkerPages:
    """A `worker_init_fn` that records where the worker has its records, after the loader's own `worker_init_fn`."""

    def __init__(self, folder: Path, inner: Callable[[int], None] | None) -> None:
        self._folder, self._inner = folder, inner

    def __call__(self, worker_id: int) -> None:
        if self._inner is not None:
            self._inner(worker_id)
        if (worker := get_worker_info()) is not None:
            write_pages(self._folder, record_pages(worker.dataset))


def write_pages(folder: Path, pages: list[RecordPages]) -> None:
    """Write the record locations of this process to the folder."""
    with atomic_path(folder / f"{os.getpid()}.json") as temporary:
        temporary.write_text(json.dumps([asdict(area) for area in pages]))


def read_pages(folder: Path, pid: int) -> list[RecordPages]:
    """Return the record locations of a process; empty if it wrote none."""
    with suppress(OSError):
        return [RecordPages(**entry) for entry in json.loads((folder / f"{pid}.json").read_text())]
    return []


def run_rank(connection: Connection, plan: ProbePlan, rank: int) -> None:
    """Run one rank; sends ('ready' | 'at' | 'done' | 'error', info) and waits for an answer after each 'at'."""
    try:
        start = time.perf_counter()
        loader = plan.make_loader(plan.case, rank)
        length = len(loader.dataset)  # type: ignore[arg-type]
        info = {"seconds": time.perf_counter() - start, "records": length, "pickled": _pickled_bytes(loader.dataset)}
        connection.send(("ready", info))
        loader.worker_init_fn = RecordWorkerPages(plan.folder, loader.worker_init_fn)
        write_pages(plan.folder, record_pages(loader.dataset))
        for iteration, epoch, workers in _points(loader, plan):
            connection.send(("at", {"iteration": iteration, "epoch": epoch, "workers": workers}))
            connection.recv()
        connection.send(("done", {}))
    except Exception as error:
        trace = traceback.format_exc(limit=-3)
        connection.send(("error", {"text": str(error), "error": error if _is_picklable(error) else None, "trace": trace}))


def _points(loader: DataLoader, plan: ProbePlan) -> Iterator[tuple[int, int, list[int]]]:
    """Run the loader and yield (batches so far, epoch, PIDs of the workers) `plan.points` times, evenly, and at the end."""
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
    """Return the size under the pickler of DataLoader; None for what only a fork can pass on."""
    try:
        return len(ForkingPickler.dumps(dataset))
    except (TypeError, AttributeError, pickle.PicklingError, RuntimeError):
        return None


def _is_picklable(error: Exception) -> bool:
    try:
        return isinstance(pickle.loads(pickle.dumps(error)), type(error))
    except Exception:  # an exception may fail to pickle in any way
        return False
