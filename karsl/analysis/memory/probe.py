"""Runs a loader in processes of its own and looks at their memory from outside, so that looking costs them nothing."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from karsl.analysis.memory.pages import RecordPages
from karsl.analysis.memory.proc import PageCount, read_memory
from karsl.analysis.memory.rank import MakeLoader, Plan, read_note, run_rank
from karsl.analysis.memory.samples import Case, Point, ProcessSample, Series
from karsl.errors import KarslError, ProbeError


def probe(
    make_loader: MakeLoader,
    case: Case,
    *,
    epochs: int = 1,
    iters: int | None = None,
    points: int = 20,
    on_point: Callable[[Point], None] = lambda point: None,
) -> Series:
    """Memory of one case over an epoch or more.

    Args:
        make_loader: Picklable; called as `make_loader(case, rank)` in each rank's fresh process. Workers should persist
            over epochs, else each epoch is a new start.
        case: What to run.
        epochs: How often the loader is run through.
        iters: Stop after so many batches instead.
        points: About how many times to look.
        on_point: Told of each point, for a progress display.

    Raises:
        KarslError: What the loader raised, if it is one of ours.
        ProbeError: Anything else that ended a rank.
    """
    context = multiprocessing.get_context("spawn")  # fresh processes, whatever this one has loaded
    series = Series(case)
    with tempfile.TemporaryDirectory(prefix="karsl-probe-") as folder:
        plan = Plan(make_loader, case, Path(folder), epochs, iters, points)
        ranks = [_launch(context, plan, rank) for rank in range(case.ranks)]
        try:
            made = [_receive(connection, process) for process, connection in ranks]
            series.num_records, series.pickled_bytes = made[0][1]["records"], made[0][1]["pickled"]
            series.init_s = max(facts["seconds"] for _, facts in made)
            while True:
                words = [_receive(connection, process) for process, connection in ranks]
                if any(word == "done" for word, _ in words):
                    break
                point = _look(ranks, [facts for _, facts in words], plan.folder)
                series.points.append(point)
                on_point(point)
                for _, connection in ranks:
                    connection.send("go on")
        finally:
            for process, connection in ranks:
                _end(process, connection)
    if not series.points:
        raise ProbeError(f"the loader of {case.label} gave no batch; is the dataset empty?")
    return series


Rank = tuple[BaseProcess, Connection]


def _launch(context: Any, plan: Plan, rank: int) -> Rank:
    ours, theirs = context.Pipe()
    process = context.Process(target=run_rank, args=(theirs, plan, rank), name=f"rank {rank}")
    process.start()
    theirs.close()
    return process, ours


def _receive(connection: Connection, process: BaseProcess) -> tuple[str, dict]:
    try:
        word, facts = connection.recv()
    except EOFError:
        process.join()
        raise ProbeError(f"{process.name} of the probe ended with status {process.exitcode}; see its output above") from None
    if word == "error":
        if isinstance(facts["error"], KarslError):
            raise facts["error"]
        raise ProbeError(f"{process.name} of the probe failed: {facts['text']}\n{facts['trace']}")
    return word, facts


def _end(process: BaseProcess, connection: Connection) -> None:
    connection.close()
    if process.is_alive():
        process.join(timeout=5)
    if process.is_alive():
        process.terminate()  # its workers see their parent gone and end
        process.join()


def _look(ranks: list[Rank], facts: list[dict], folder: Path) -> Point:
    processes = []
    for rank, ((process, _), fact) in enumerate(zip(ranks, facts, strict=True)):
        named = {"main": process.pid, **{f"worker {i}": pid for i, pid in enumerate(fact["workers"])}}
        for role, pid in named.items():
            sample = sample_process(pid, rank, role, read_note(folder, pid))
            if sample is not None:
                processes.append(sample)
    return Point(facts[0]["iteration"], facts[0]["epoch"], tuple(processes))


def sample_process(pid: int, rank: int, role: str, pages: list[RecordPages]) -> ProcessSample | None:
    """One process now, None when it has ended.

    Args:
        pages: Where that process has its records.
    """
    memory = read_memory(pid)
    if memory is None:
        return None
    count = PageCount.total_of(part.count(pid) for part in pages)
    program = None if memory.pss_anon is None or memory.pss_shmem is None else memory.pss_anon + memory.pss_shmem
    kinds = "+".join(dict.fromkeys(part.kind for part in pages))
    num_bytes = sum(part.num_bytes for part in pages)
    return ProcessSample(
        rank, role, pid, memory.rss, memory.uss, memory.shared, memory.pss, program,
        kinds or None, num_bytes, None if count is None or not pages else count.private_ratio,
    )  # fmt: skip
