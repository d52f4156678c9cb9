"""Run each measurement in its own process."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.measurement import Figures, Measurement

_END_S = 10  # for the removal of semaphores and shared memory, which a killed process would leave behind
_GRACE_S = 120  # in addition to the cases: imports, start of workers, a cold disk
# One thread per process, as in PyTorch's workers; otherwise some candidates would use several cores without workers.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


class Launcher:
    """Starts a process for each measurement, and kills it with its workers if it does not end.

    Args:
        one_import: Fork the processes from one that has imported PyTorch, which saves seconds each. They share its pages, so
            their PSS is too small.
    """

    def __init__(self, *, one_import: bool = False) -> None:
        self.one_import = one_import
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._end(self._server)

    def run(self, measurement: Measurement) -> list[Figures]:
        """Run a measurement and return the figures of its cases.

        Raises:
            BenchError: If the measurement fails or does not end in time.
        """
        limit_s = _GRACE_S + len(measurement.cases) * (10 + 3 * measurement.seconds)
        with tempfile.TemporaryDirectory(prefix="karsl-bench-") as folder:
            file = Path(folder) / "measurement.json"
            file.write_text(json.dumps(asdict(measurement)))
            in_time = self._fork(file, limit_s) if self.one_import else self._start_and_wait(file, limit_s)
            answer = json.loads(file.read_text())
        label = f"{measurement.candidate} ({', '.join(case.name for case in measurement.cases)})"
        if not in_time:
            raise BenchError(f"{label}: not finished after {limit_s:.0f} s")
        if "readings" not in answer:
            raise BenchError(f"{label}: {answer.get('error', 'its process was killed')}")
        return [Figures(**fields) for fields in answer["readings"]]

    def _start_and_wait(self, file: Path, limit_s: float) -> bool:
        process = self._start(str(file))
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return False
        finally:
            self._end(process)
        return True

    def _fork(self, file: Path, limit_s: float) -> bool:
        self._server = self._server or self._start()
        print(file, file=self._server.stdin, flush=True)
        pipes: list[Any] = [self._server.stdout]
        answers, _, _ = select.select(pipes, [], [], limit_s)
        if not answers or not answers[0].readline():
            self._end(self._server)
            self._server = None
        return bool(answers)

    @staticmethod
    def _start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measurement", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # output of libraries; errors are returned in the file
            text=True,
            env={**os.environ, **_ONE_THREAD},
            start_new_session=True,
        )

    @staticmethod
    def _end(process: subprocess.Popen[str] | None) -> None:
        """Wait for a process to end, or kill its process group, which includes its workers."""
        if process is None:
            return
        try:
            process.communicate(timeout=_END_S)  # closes its input, which ends a server
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
