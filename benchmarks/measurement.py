"""One measurement of one way, in a process of its own: `python -m benchmarks.measurement FILE`.

The file holds a `Measurement` and receives the `Figures`s. Without a file, their names are read from standard input.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import psutil
import torch

from benchmarks.candidate import Candidate, find_candidates
from benchmarks.dataset_files import drop_page_cache
from benchmarks.task import CHANNELS, CLIP_LEN, NUM_KEYPOINTS
from karsl.errors import BenchError


@dataclass(frozen=True)
class Case:
    """Who loads: this process, or workers.

    Example:
        >>> Case().name, Case(2, "spawn").name
        ('in process', '2 workers, spawn')
    """

    num_workers: int = 0
    start_method: str = "fork"

    @property
    def name(self) -> str:
        """In tables."""
        if not self.num_workers:
            return "in process"
        return f"{self.num_workers} worker{'s' if self.num_workers > 1 else ''}, {self.start_method}"


@dataclass(frozen=True)
class Figures:
    """What one case gave.

    Attributes:
        case: Its name.
        clips_s: Clips a second after the first batch; with a cold cache, of one epoch with its first batch.
        first_batch_s: From an interpreter with PyTorch and MMEngine, before the way's own libraries are imported, to its
            first batch; with a cold cache, from after.
        pss_bytes: Of this process and its workers; None where the system does not tell.
    """

    case: str
    clips_s: float
    first_batch_s: float
    pss_bytes: int | None


@dataclass(frozen=True)
class Measurement:
    """One process's work: a way, its files, and the cases to read one after the other."""

    way: str
    folder: str
    cases: tuple[Case, ...]
    count: int
    batch_size: int = 64
    seconds: float = 3.0
    seed: int = 0
    cold: bool = False

    @classmethod
    def from_json(cls, text: str) -> Measurement:
        """As `json.dumps(asdict(...))` wrote it."""
        fields = json.loads(text)
        return cls(**{**fields, "cases": tuple(Case(**case) for case in fields["cases"])})


def read_case(way: Candidate, job: Measurement, case: Case) -> Figures:
    """Time a way's batches.

    Raises:
        BenchError: A batch is not float32 (N, 50, 184, 4), or none came.
    """
    if job.cold:
        _forget(way, job)
    start = time.perf_counter()
    batches = _batches(way, job, case)
    _check(way, next(batches), job.batch_size)
    first_batch_s = time.perf_counter() - start
    if job.cold:
        clips, seconds = _count(batches, start, max_clips=job.count - job.batch_size)
        clips += job.batch_size
    else:
        _count(batches, time.perf_counter(), seconds=job.seconds / 5)  # past the start of workers and of clocks
        clips, seconds = _count(batches, time.perf_counter(), seconds=job.seconds)
    pss_bytes = _pss_bytes()
    batches.close()
    return Figures(case.name, clips / seconds, first_batch_s, pss_bytes)


def _forget(way: Candidate, job: Measurement) -> None:
    """Import and compile with one batch, let go of the files, drop their pages: what is then timed is the disk."""
    batches = _batches(way, job, Case())
    next(batches)
    batches.close()
    del batches
    gc.collect()  # mapped pages are not dropped
    drop_page_cache(Path(job.folder))


def _batches(way: Candidate, job: Measurement, case: Case) -> Generator[torch.Tensor, None, None]:
    """Batches without end; a generator, so that closing it ends the workers."""
    loader = way.loader(
        Path(job.folder),
        batch_size=job.batch_size,
        num_workers=case.num_workers,
        seed=job.seed,
        start_method=case.start_method,
    )
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise BenchError(f"{way.name}: no batches from {job.folder}")


def _check(way: Candidate, batch: torch.Tensor, batch_size: int) -> None:
    want = (batch_size, CLIP_LEN, NUM_KEYPOINTS, CHANNELS)
    if not isinstance(batch, torch.Tensor) or batch.dtype != torch.float32 or tuple(batch.shape) != want:
        found = f"{batch.dtype} {tuple(batch.shape)}" if isinstance(batch, torch.Tensor) else type(batch).__name__
        raise BenchError(f"{way.name}: a batch is {found}; expected a float32 tensor {want}")


def _count(
    batches: Iterator[torch.Tensor], start: float, *, seconds: float = float("inf"), max_clips: float = float("inf")
) -> tuple[int, float]:
    """Take batches for a while; gives clips and the seconds since `start`."""
    clips = 0
    for batch in batches:
        clips += len(batch)
        if clips >= max_clips or time.perf_counter() - start >= seconds:
            break
    return clips, time.perf_counter() - start


def _pss_bytes() -> int | None:
    """PSS of this process and all below it: shared pages count once."""
    me = psutil.Process()
    facts = [process.memory_full_info() for process in (me, *me.children(recursive=True))]
    return sum(fact.pss for fact in facts) if all(hasattr(fact, "pss") for fact in facts) else None


def run_file(path: str) -> None:
    """Read a pass from a file and write its readings, or its error, back."""
    file = Path(path)
    try:
        job = Measurement.from_json(file.read_text())
        way = find_candidates()[job.way]
        answer: dict = {"readings": [asdict(read_case(way, job, case)) for case in job.cases]}
    except Exception as error:  # whatever a peer raises is what the user wants to read
        last_line = (str(error).strip().splitlines() or [""])[-1]
        answer = {"error": f"{type(error).__name__}: {last_line}"}
    file.write_text(json.dumps(answer))


def serve(paths: Iterable[str], answers: TextIO) -> None:
    """Fork a process for each pass that is named on standard input; say when it has ended."""
    for path in paths:
        child = os.fork()
        if not child:
            run_file(path.strip())
            sys.exit()  # not os._exit: libraries remove their shared memory at exit
        os.waitpid(child, 0)
        answers.write("done\n")
        answers.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    if len(sys.argv) > 1:
        run_file(sys.argv[1])
    else:
        serve(sys.stdin, answers)
