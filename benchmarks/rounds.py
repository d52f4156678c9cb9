"""Rounds: every way and case in a fresh process, one after the other, so that a busy minute of the machine hits them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.candidate import Candidate
from benchmarks.dataset_files import DatasetFiles, Store
from benchmarks.launch import Launcher
from benchmarks.measurement import Case, Measurement
from benchmarks.result import CandidateResult, Result
from benchmarks.stages import profile_stages
from karsl.errors import BenchError

Say = Callable[[str, int], None]


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        cases: Who loads.
        rounds: How often each is measured.
        seconds: Of each measurement, after its first batch.
        one_process: All cases of a way in one process, forked from one that has imported PyTorch: quicker, but first
            batches come too early and PSS is too small.
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

    def steps(self, ways: Sequence[Candidate]) -> int:
        """How many times `run_plan` reports."""
        return len(ways) + self.rounds * sum(len(group) for way in ways for group in self.groups(way))

    def groups(self, way: Candidate) -> list[tuple[Case, ...]]:
        """The cases of a way, a process each."""
        fits = tuple(c for c in self.cases if way.max_workers is None or c.num_workers <= way.max_workers)
        return [fits] if fits and self.one_process else [(case,) for case in fits]


def run_plan(plan: Plan, ways: Sequence[Candidate], work_dir: Path, *, progress: Say = lambda text, steps: None) -> Result:
    """Prepare every way, then measure in interleaved rounds; a way that fails is reported, the others go on.

    Args:
        plan: What to measure.
        ways: Of `choose_candidates`.
        work_dir: For the files; those of the same clips are used again.
        progress: Called with what is done now and how many steps ended since the last call.

    Raises:
        BenchError: No way could be measured.
    """
    stores, result = DatasetFiles(work_dir, count=plan.count, seed=plan.seed), Result(plan=asdict(plan))
    ready: list[tuple[Candidate, Store]] = []
    for way in ways:
        progress(f"writing {way.name}", 0)
        try:
            store = stores.prepare(way)
            if "numba" in way.libraries:
                _compile(plan, way, store)
        except Exception as error:  # noqa: BLE001 - a peer's own failure must not end the comparison
            result.failed[way.name] = f"{type(error).__name__}: {error}"
        else:
            ready.append((way, store))
            result.ways[way.name] = CandidateResult(role=way.role, prepare_s=store.prepare_s, disk_bytes=store.disk_bytes)
        progress("", 1)
    with Launcher(one_import=plan.one_process) as launcher:
        for way, store, group in _interleaved(plan, ready):
            if way.name not in result.failed:
                progress(f"{way.name}, {group[0].name}", 0)
                _measure(plan, way, store, group, launcher, result)
            progress("", len(group))
    ours = next((store for way, store in ready if way.name == "karsl" and way.name not in result.failed), None)
    if ours and not plan.cold:
        result.stages = profile_stages(Path(ours.folder), batch_size=plan.batch_size, seed=plan.seed)
    result.ways = {name: way for name, way in result.ways.items() if way.readings and name not in result.failed}
    if not result.ways:
        raise BenchError(f"nothing could be measured: {'; '.join(f'{k}: {v}' for k, v in result.failed.items())}")
    return result


def _compile(plan: Plan, way: Candidate, store: Store) -> None:
    """One batch, so that compiled code is in its cache when first batches are timed."""
    options: dict = dict(batch_size=plan.batch_size, num_workers=0, seed=plan.seed, start_method="fork")
    next(iter(way.loader(Path(store.folder), **options)))
    torch.set_num_threads(1)  # a way may want more; what is timed here is told for one


def _measure(plan: Plan, way: Candidate, store: Store, group: tuple[Case, ...], launcher: Launcher, result: Result) -> None:
    job = Measurement(way.name, store.folder, group, plan.count, plan.batch_size, plan.seconds, plan.seed, plan.cold)
    try:
        result.ways[way.name].add(launcher.run(job))
    except BenchError as error:
        result.failed[way.name] = str(error)


def _interleaved(
    plan: Plan, ready: Sequence[tuple[Candidate, Store]]
) -> Iterator[tuple[Candidate, Store, tuple[Case, ...]]]:
    """Each round starts with another way, so that none always runs after the same neighbour."""
    for round_number in range(plan.rounds):
        first = round_number * 5 % max(1, len(ready))
        for way, store in [*ready[first:], *ready[:first]]:
            yield from ((way, store, group) for group in plan.groups(way))
