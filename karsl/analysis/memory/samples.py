"""What a memory probe finds, as plain data: case, points over the iterations, processes at each point."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One way to run a loader.

    Args:
        start_method: 'fork', 'spawn' or 'forkserver'.
        serialize: 'on' (karsl's index), 'off' (plain Python records), or 'mmengine' (its BaseDataset and numpy buffer).
        num_workers: Worker processes of each rank.
        ranks: How many ranks run at once, each with a loader of its own.
    """

    start_method: str
    serialize: str = "on"
    num_workers: int = 2
    ranks: int = 1

    @property
    def label(self) -> str:
        """For tables and legends."""
        kind = "MMEngine" if self.serialize == "mmengine" else f"serialize {self.serialize}"
        return f"{self.start_method} · {kind}" + (f" · {self.ranks} ranks" if self.ranks > 1 else "")


@dataclass(frozen=True)
class ProcessSample:
    """One process at one moment; sizes in bytes, None where the system does not tell.

    Args:
        role: 'main' or 'worker 0', ...
        records: 'index', 'buffer' or 'list'; None when the dataset keeps nothing that we know.
        record_bytes: Size of the pages that hold the records.
        private_ratio: Share of these pages that this process has as private copies.
    """

    rank: int
    role: str
    pid: int
    rss: int
    uss: int
    shared: int
    pss: int | None
    pss_program: int | None
    records: str | None
    record_bytes: int
    private_ratio: float | None

    @property
    def private_bytes(self) -> int | None:
        """Private copies of record pages."""
        return None if self.private_ratio is None else round(self.private_ratio * self.record_bytes)

    @property
    def is_original(self) -> bool:
        """The first main process: what it has alone, before any copy, is the original."""
        return self.role == "main" and self.rank == 0


@dataclass(frozen=True)
class Point:
    """All processes after `iteration` batches (of each rank)."""

    iteration: int
    epoch: int
    processes: tuple[ProcessSample, ...]

    @property
    def workers(self) -> tuple[ProcessSample, ...]:
        """The processes that read records: workers, or the main processes where there are none."""
        found = tuple(p for p in self.processes if p.role != "main")
        return found or self.processes

    @property
    def mean_uss(self) -> float:
        """Mean private memory of a worker, bytes."""
        return sum(p.uss for p in self.workers) / len(self.workers)

    @property
    def cost(self) -> int | None:
        """Sum of PSS of program and shared memory over all processes: what the job really takes, bytes."""
        parts = [p.pss_program for p in self.processes]
        return None if None in parts else sum(filter(None, parts))

    @property
    def private_ratio(self) -> float | None:
        """Largest share of private record pages over the processes that need not have any."""
        copies = [p for p in self.processes if p.records == "index" or not p.is_original]
        ratios = [p.private_ratio for p in copies if p.records is not None]
        return None if not ratios or None in ratios else max(r for r in ratios if r is not None)

    @property
    def private_bytes(self) -> int | None:
        """Largest private copy of record pages in one process, bytes."""
        copies = [p.private_bytes for p in self.processes if p.records == "index" or not p.is_original]
        return None if not copies or None in copies else max(c for c in copies if c is not None)


@dataclass
class Series:
    """One case over the iterations.

    Args:
        num_records: Length of the dataset.
        pickled_bytes: Size of the pickled dataset, what spawn and forkserver send to each worker; None if it has no pickle.
        init_s: Seconds that the slowest rank took to make dataset and loader.
    """

    case: Case
    num_records: int = 0
    pickled_bytes: int | None = None
    init_s: float = 0.0
    points: list[Point] = field(default_factory=list)

    @property
    def last(self) -> Point:
        """The final point."""
        return self.points[-1]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"label": self.case.label, **asdict(self)}
