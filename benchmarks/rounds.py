"""Interleaved rounds, each candidate and case in a new process, so that other load on the machine affects all alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.candidate import Candidate
from benchmarks.dataset_files import DatasetFiles, Store
from benchmarks.errors import BenchError
from benchmarks.launch import Launcher
from benchmarks.measurement import Case, Measurement
from benchmarks.result import CandidateResult, Result
from benchmarks.stages import profile_stages

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Plan:
    """Settings of a run.

    Attributes:
        cases: Numbers of workers with their start methods.
        count: Number of clips.
        rounds: Measurements per candidate and case.
        seconds: Length of each measurement in seconds, after its first batch.
        batch_size: Clips per batch.
        seed: Seed of clips, order and augmentation.
        one_process: Measure all cases of a candidate in one process, forked from one that has imported PyTorch. This is
            faster, but the time to the first batch and PSS are too small.
        cold: Drop the files from the page cache before each case and read one epoch.
    """

    cases: tuple[Case, ...] = (Case(), Case(2))
    count: int = 6000
    rounds: int = 5
    seconds: float = 3.0
    batch_size: int = 64
    seed: int = 0
    one_process: bool = False
    cold: bool = False

    def steps(self, candidates: Sequence[Candidate]) -> int:
        """Return the number of steps that `run_plan` reports."""
        return len(candidates) + self.rounds * sum(
            len(group) for candidate in candidates for group in self.groups(candidate)
        )

    def groups(self, candidate: Candidate) -> list[tuple[Case, ...]]:
        """Return the cases of a candidate, one group per process."""
        fits = tuple(c for c in self.cases if candidate.max_workers is None or c.num_workers <= candidate.max_workers)
        return [fits] if fits and self.one_process else [(case,) for case in fits]


def run_plan(
    plan: Plan, candidates: Sequence[Candidate], work_dir: Path, *, progress: Progress = lambda text, steps: None
) -> Result:
    """Prepare every candidate, then measure in interleaved rounds. A candidate that fails is reported and left out.

    Args:
        plan: Settings.
        candidates: Return value of `choose_candidates`.
        work_dir: Folder for the files; existing files of the same clips are reused.
        progress: Called with a description of the current step and the number of steps finished since the last call.

    Raises:
        BenchError: If no candidate could be measured.
    """
    result = Result(plan=asdict(plan))
    ready = _prepare(plan, candidates, work_dir, result, progress)
    with Launcher(one_import=plan.one_process) as launcher:
        for candidate, store, group in _interleaved(plan, ready):
            if candidate.name not in result.failed:
                progress(f"{candidate.name}, {group[0].name}", 0)
                _measure(plan, candidate, store, group, launcher, result)
            progress("", len(group))
    packed = next((store for candidate, store in ready if candidate.name == "karsl"), None)
    if packed and "karsl" not in result.failed and not plan.cold:
        result.stages = profile_stages(Path(packed.folder), batch_size=plan.batch_size, seed=plan.seed)
    result.candidates = {
        name: candidate for name, candidate in result.candidates.items() if candidate.readings and name not in result.failed
    }
    if not result.candidates:
        raise BenchError(f"nothing could be measured: {'; '.join(f'{k}: {v}' for k, v in result.failed.items())}")
    return result


def _prepare(
    plan: Plan, candidates: Sequence[Candidate], work_dir: Path, result: Result, progress: Progress
) -> list[tuple[Candidate, Store]]:
    """Write the files of every candidate, and return those that succeeded; errors are added to the result."""
    files = DatasetFiles(work_dir, count=plan.count, seed=plan.seed)
    ready: list[tuple[Candidate, Store]] = []
    for candidate in candidates:
        progress(f"writing {candidate.name}", 0)
        try:
            store = files.prepare(candidate)
            if "numba" in candidate.libraries:
                _compile(plan, candidate, store)
        except Exception as error:  # noqa: BLE001 - an error of one library must not end the comparison
            result.failed[candidate.name] = f"{type(error).__name__}: {error}"
        else:
            ready.append((candidate, store))
            result.candidates[candidate.name] = CandidateResult(
                role=candidate.role, prepare_s=store.prepare_s, disk_bytes=store.disk_bytes
            )
        progress("", 1)
    return ready


def _compile(plan: Plan, candidate: Candidate, store: Store) -> None:
    """Make one batch, so that compiled code is cached when the time to the first batch is measured."""
    options: dict = dict(batch_size=plan.batch_size, num_workers=0, seed=plan.seed, start_method="fork")
    next(iter(candidate.loader(Path(store.folder), **options)))
    torch.set_num_threads(1)  # a candidate may have set more; the stages are timed with one


def _measure(
    plan: Plan, candidate: Candidate, store: Store, group: tuple[Case, ...], launcher: Launcher, result: Result
) -> None:
    measurement = Measurement(
        candidate.name, store.folder, group, plan.count, plan.batch_size, plan.seconds, plan.seed, plan.cold
    )
    try:
        result.candidates[candidate.name].add(launcher.run(measurement))
    except BenchError as error:
        result.failed[candidate.name] = str(error)


def _interleaved(
    plan: Plan, ready: Sequence[tuple[Candidate, Store]]
) -> Iterator[tuple[Candidate, Store, tuple[Case, ...]]]:
    """Yield the groups of all rounds; each round starts with another candidate, so that the order varies."""
    for round_number in range(plan.rounds):
        first = round_number * 5 % max(1, len(ready))
        for candidate, store in [*ready[first:], *ready[:first]]:
            yield from ((candidate, store, group) for group in plan.groups(candidate))
