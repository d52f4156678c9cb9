"""Results of a memory probe: data, verdicts and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from karsl.errors import pluralize

MIB = 1 << 20
_COPY_RATIO = 0.005  # a page or two at the edges of a buffer are shared with other data
_MIN_POINTS = 3
_NOISE_BYTES = 4 * MIB  # allocators return memory late: USS of an idle worker varies by a few MiB
_NOISE_RATIO = 0.02
_STEADY = 0.75  # fraction of pairs of later points that must rise for a leak


@dataclass(frozen=True)
class Case:
    """One configuration of a loader.

    Args:
        start_method: 'fork', 'spawn' or 'forkserver'.
        serialize: 'on' (karsl's index), 'off' (plain Python records), or 'mmengine' (its BaseDataset and numpy buffer).
        num_workers: Worker processes per rank.
        ranks: Number of ranks that run at once, each with its own loader.
    """

    start_method: str
    serialize: str = "on"
    num_workers: int = 2
    ranks: int = 1

    @property
    def label(self) -> str:
        """Label for tables and legends."""
        kind = "MMEngine" if self.serialize == "mmengine" else f"serialize {self.serialize}"
        return f"{self.start_method} · {kind}" + (f" · {self.ranks} ranks" if self.ranks > 1 else "")


@dataclass(frozen=True)
class ProcessSample:
    """Memory of one process at one moment, in bytes; None where the system does not report it.

    Args:
        rank: Number of the rank.
        role: 'main' or 'worker 0', ...
        pid: Process ID.
        rss: Resident memory.
        uss: Memory that only this process has.
        shared: Resident memory that other processes have too.
        pss: Proportional share.
        pss_program: Part of `pss` that is program or shared memory.
        records: 'index', 'buffer' or 'list'; None when the dataset stores no records of these kinds.
        record_bytes: Size of the pages that hold the records.
        private_ratio: Fraction of these pages that are private copies of this process.
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
        """True for the first main process, whose private records are the original and no copy."""
        return self.role == "main" and self.rank == 0


@dataclass(frozen=True)
class Point:
    """All processes after `iteration` batches of each rank."""

    iteration: int
    epoch: int
    processes: tuple[ProcessSample, ...]

    @property
    def workers(self) -> tuple[ProcessSample, ...]:
        """Processes that read records: the workers, or the main processes where there are none."""
        return tuple(p for p in self.processes if p.role != "main") or self.processes

    @property
    def mean_uss(self) -> float:
        """Mean private memory per worker in bytes."""
        return sum(p.uss for p in self.workers) / len(self.workers)

    @property
    def cost(self) -> int | None:
        """Sum of PSS of program and shared memory over all processes in bytes: the memory that the job occupies."""
        sizes = [p.pss_program for p in self.processes]
        return None if None in sizes else sum(filter(None, sizes))

    @property
    def private_ratio(self) -> float | None:
        """Largest fraction of private record pages, over the processes that need no copy; 0 if there are none."""
        if not self.readers:
            return 0.0
        ratios = [p.private_ratio for p in self.readers if p.records is not None]
        return None if not ratios or None in ratios else max(r for r in ratios if r is not None)

    @property
    def private_bytes(self) -> int | None:
        """Largest private copy of record pages in one process, in bytes."""
        sizes = [p.private_bytes for p in self.readers]
        return None if None in sizes else max((s for s in sizes if s is not None), default=0)

    @property
    def readers(self) -> list[ProcessSample]:
        """Processes that could share the records: all, except the one that has the original as Python objects."""
        return [p for p in self.processes if p.records == "index" or not p.is_original]


@dataclass
class Series:
    """One case over the iterations.

    Args:
        case: Configuration.
        num_records: Length of the dataset.
        pickled_bytes: Size of the pickled dataset, which spawn and forkserver send to each worker; None if it cannot be
            pickled.
        init_s: Seconds in which the slowest rank made dataset and loader.
        points: Measurements in order.
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
        """Return the series as plain data for JSON."""
        return {"label": self.case.label, **asdict(self)}


def sharing_verdict(series: Series) -> str:
    """Return a sentence on whether processes share the pages of the records at the last point."""
    last = series.last
    if {p.records for p in last.processes} == {None}:
        return "the dataset stores no records of a known kind"
    if not last.readers:
        return (
            "there is one process, which has the original records; measure with --workers 2 to see whether workers copy them"
        )
    ratio, private = last.private_ratio, last.private_bytes
    if ratio is None or private is None:
        return "unknown: this system does not show page maps of processes (Linux shows them for processes of the same user)"
    if ratio < _COPY_RATIO:
        return f"shared: {100 * ratio:.1f} % of the record pages are private copies"
    return f"copied: {100 * ratio:.0f} % of the record pages, {private / MIB:.0f} MiB per process"


def growth_verdict(series: Series) -> str:
    """Return a sentence on whether private memory of the workers grows over the later half of the points.

    A leak rises steadily without end; a plateau does not, even if it was reached by copying pages. The slope is the median
    over all pairs of points, which outliers do not move.

    Source:
        Theil-Sen estimator, Sen 1968, https://doi.org/10.1080/01621459.1968.10480934
    """
    late = series.points[len(series.points) // 2 :]
    if len(late) < _MIN_POINTS or late[-1].iteration == late[0].iteration:
        return "too few points for a verdict on growth"
    x = np.array([point.iteration for point in late], float)
    y = np.array([point.mean_uss for point in late])
    first, second = np.triu_indices(len(late), 1)
    rises = y[second] - y[first]
    slope = float(np.median(rises / (x[second] - x[first])))
    grown = slope * (x[-1] - x[0])
    unit = "per worker" if any(p.role != "main" for p in series.last.processes) else "in a main process"
    span = f"{late[-1].iteration - late[0].iteration:,} iterations"
    if grown > max(_NOISE_BYTES, _NOISE_RATIO * y[0]) and (rises > 0).mean() >= _STEADY:
        rate = f"{1000 * slope / MIB:.1f} MiB per 1,000"
        return f"grows: +{grown / MIB:.0f} MiB {unit} over the last {span}, {rate}: a leak, or not finished yet"
    return f"plateau: {grown / MIB:+.0f} MiB {unit} over the last {span}"


def check_limits(series: Series, max_private_mb: float) -> str | None:
    """Return why a case exceeds a limit on private copies of records, or None if it does not.

    Args:
        series: Measured case.
        max_private_mb: Largest private copy of record pages per process in MiB. Where page maps cannot be read, all private
            memory of a worker counts, which is more.
    """
    private, name = series.last.private_bytes, "private copies of record pages"
    if private is None:
        private, name = max(p.uss for p in series.last.workers), "private memory (page maps cannot be read)"
    if private <= max_private_mb * MIB:
        return None
    return f"{series.case.label}: {private / MIB:.1f} MiB of {name} in one process, more than {max_private_mb:g}"


def case_report(series: Series) -> RenderableType:
    """Return a table of all processes of a case at its last point, with the verdicts."""
    last = series.last
    title = (
        f"{series.case.label} · {pluralize(series.num_records, 'record', ',')} · after {last.iteration:,} iterations · MiB"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("process", "RSS", "PSS", "USS", "shared", "records", "of them private"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for p in last.processes:
        role = f"rank {p.rank} {p.role}" if series.case.ranks > 1 else p.role
        ratio = "not visible" if p.private_ratio is None else f"{100 * p.private_ratio:.1f} %"
        if p.is_original and p.records in ("buffer", "list"):
            ratio = f"{ratio} (the original)"
        records = f"{'>' * (p.records == 'list')}{mib(p.record_bytes)} {p.records}" if p.records else "-"
        table.add_row(role, mib(p.rss), mib(p.pss), mib(p.uss), mib(p.shared), records, ratio if p.records else "-")
    pickled = "no pickle" if series.pickled_bytes is None else f"pickle of the dataset {series.pickled_bytes / 1000:,.1f} kB"
    lines = [sharing_verdict(series), growth_verdict(series), _cost(last), f"{pickled}; ready in {series.init_s:.2f} s"]
    return Group(table, *(Text(f"  {line}") for line in lines))


def _cost(point: Point) -> str:
    if point.cost is None:
        return "all processes: this system does not report PSS"
    total = sum(p.pss or 0 for p in point.processes)
    return (
        f"all processes: {mib(point.cost)} MiB of program and shared memory; {mib(total)} MiB (the sum of PSS above) with "
        "pages of files, such as libraries, which the system can drop"
    )


def comparison(all_series: Sequence[Series]) -> Table:
    """Return a table with one row per case."""
    title = "comparison, MiB at the last point: all processes, USS per worker, its copy of records"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("case", "all", "worker", "copy", "copied", "pickle, MB", "ready, s"):
        table.add_column(name, justify="left" if name == "case" else "right", no_wrap=name == "case")
    for series in all_series:
        last = series.last
        pickled = "-" if series.pickled_bytes is None else f"{series.pickled_bytes / 1e6:,.3f}"
        copied = "not visible" if last.private_ratio is None else f"{100 * last.private_ratio:.0f} %"
        sizes = (mib(last.cost), mib(round(last.mean_uss)), mib(last.private_bytes))
        table.add_row(series.case.label, *sizes, copied, pickled, f"{series.init_s:.2f}")
    return table


def mib(num_bytes: int | None) -> str:
    """Return a size in MiB for a table.

    Example:
        >>> mib(5 << 20), mib(300 << 10), mib(None)
        ('5', '0.3', '-')
    """
    if num_bytes is None:
        return "-"
    value = num_bytes / MIB
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.1f}"
