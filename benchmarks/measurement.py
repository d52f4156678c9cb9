"""One measurement of one candidate in its own process: `python -m benchmarks.measurement FILE`.

The file contains a `Measurement` and is replaced by its `Figures`. Without a file, their names are read from standard input.
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
from benchmarks.errors import BenchError
from benchmarks.task import CHANNELS, CLIP_LEN, NUM_KEYPOINTS


@dataclass(frozen=True)
class Case:
    """Number of workers and their start method.

    Example:
        >>> Case().name, Case(2, "spawn").name
        ('in process', '2 workers, spawn')
    """

    num_workers: int = 0
    start_method: str = "fork"

    @property
    def name(self) -> str:
        """Name in tables."""
        if not self.num_workers:
            return "in process"
        return f"{self.num_workers} worker{'s' if self.num_workers > 1 else ''}, {self.start_method}"


@dataclass(frozen=True)
class Figures:
    """Result of one case.

    Attributes:
        case: Name of the case.
        clips_s: Clips per second after the first batch; with a cold cache, of one epoch including its first batch.
        first_batch_s: Seconds to the first batch, including the import of the candidate's libraries except PyTorch and
            MMEngine; with a cold cache, without these imports.
        pss_bytes: PSS of this process and its workers; None if the system does not report it.
    """

    case: str
    clips_s: float
    first_batch_s: float
    pss_bytes: int | None


@dataclass(frozen=True)
class Measurement:
    """Candidate, files, and cases to measure one after the other in one process."""

    candidate: str
    folder: str
    cases: tuple[Case, ...]
    count: int
    batch_size: int = 64
    seconds: float = 3.0
    seed: int = 0
    cold: bool = False

    @classmethod
    def from_json(cls, text: str) -> Measurement:
        """Parse the output of `json.dumps(asdict(...))`."""
        fields = json.loads(text)
        return cls(**{**fields, "cases": tuple(Case(**case) for case in fields["cases"])})


def read_case(candidate: Candidate, measurement: Measurement, case: Case) -> Figures:
    """Time the batches of a candidate.

    Raises:
        BenchError: If there is no batch, or one is not float32 (N, 50, 184, 4).
    """
    if measurement.cold:
        _drop_files(candidate, measurement)
    start = time.perf_counter()
    batches = _batches(candidate, measurement, case)
    _check(candidate, next(batches), measurement.batch_size)
    first_batch_s = time.perf_counter() - start
    if measurement.cold:
        clips, seconds = _count(batches, start, max_clips=measurement.count - measurement.batch_size)
        clips += measurement.batch_size
    else:
        _count(batches, time.perf_counter(), seconds=measurement.seconds / 5)  # warm-up: start of workers, processor clock
        clips, seconds = _count(batches, time.perf_counter(), seconds=measurement.seconds)
    pss_bytes = _pss_bytes()
    batches.close()
    return Figures(case.name, clips / seconds, first_batch_s, pss_bytes)


def _drop_files(candidate: Candidate, measurement: Measurement) -> None:
    """Import and compile by making one batch, then drop the files from the page cache, so that only the disk is timed."""
    batches = _batches(candidate, measurement, Case())
    next(batches)
    batches.close()
    del batches
    gc.collect()  # pages that are mapped cannot be dropped
    drop_page_cache(Path(measurement.folder))


def _batches(candidate: Candidate, measurement: Measurement, case: Case) -> Generator[torch.Tensor, None, None]:
    """Yield batches without end; closing the generator ends the workers."""
    loader = candidate.loader(
        Path(measurement.folder),
        batch_size=measurement.batch_size,
        num_workers=case.num_workers,
        seed=measurement.seed,
        start_method=case.start_method,
    )
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise BenchError(f"{candidate.name}: no batches from {measurement.folder}")


def _check(candidate: Candidate, batch: torch.Tensor, batch_size: int) -> None:
    expected = (batch_size, CLIP_LEN, NUM_KEYPOINTS, CHANNELS)
    if not isinstance(batch, torch.Tensor) or batch.dtype != torch.float32 or tuple(batch.shape) != expected:
        found = f"{batch.dtype} {tuple(batch.shape)}" if isinstance(batch, torch.Tensor) else type(batch).__name__
        raise BenchError(f"{candidate.name}: a batch is {found}; expected a float32 tensor {expected}")


def _count(
    batches: Iterator[torch.Tensor], start: float, *, seconds: float = float("inf"), max_clips: float = float("inf")
) -> tuple[int, float]:
    """Take batches until a limit; return the number of clips and the seconds since `start`."""
    clips = 0
    for batch in batches:
        clips += len(batch)
        if clips >= max_clips or time.perf_counter() - start >= seconds:
            break
    return clips, time.perf_counter() - start


def _pss_bytes() -> int | None:
    """Return the PSS of this process and all its children, in which shared pages count once."""
    parent = psutil.Process()
    memory = [process.memory_full_info() for process in (parent, *parent.children(recursive=True))]
    return sum(info.pss for info in memory) if all(hasattr(info, "pss") for info in memory) else None


def run_file(path: str) -> None:
    """Run the measurement in a file, and replace its content by the readings or the error."""
    file = Path(path)
    try:
        measurement = Measurement.from_json(file.read_text())
        candidate = find_candidates()[measurement.candidate]
        answer: dict = {"readings": [asdict(read_case(candidate, measurement, case)) for case in measurement.cases]}
    except Exception as error:  # any error of a library is reported to the user
        last_line = (str(error).strip().splitlines() or [""])[-1]
        answer = {"error": f"{type(error).__name__}: {last_line}"}
    file.write_text(json.dumps(answer))


def serve(paths: Iterable[str], answers: TextIO) -> None:
    """Fork a process for each file, and write a line when it has ended."""
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
    os.dup2(2, 1)  # libraries may print to standard output
    if len(sys.argv) > 1:
        run_file(sys.argv[1])
    else:
        serve(sys.stdin, answers)
