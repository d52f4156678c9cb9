"""Tables of a memory probe for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from karsl.analysis.memory.samples import MIB, Point, Series
from karsl.analysis.memory.verdict import growth_verdict, sharing_verdict


def case_report(series: Series) -> RenderableType:
    """All processes of a case at its last point, and the verdicts."""
    last = series.last
    title = f"{series.case.label} · {series.num_records:,} records · after {last.iteration:,} iterations · MiB"
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
    """Both sums of PSS, so that nobody takes one for the other."""
    if point.cost is None:
        return "all processes: this system does not tell their PSS"
    total = sum(p.pss or 0 for p in point.processes)
    return (
        f"all processes: {mib(point.cost)} MiB of program and shared memory; with pages of files, such as libraries, "
        f"which the system can drop, {mib(total)} MiB (the sum of PSS above)"
    )


def comparison(all_series: Sequence[Series]) -> Table:
    """One line a case."""
    title = "comparison, MiB at the last point: all processes, a worker's USS, its copy of records"
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
    """MiB for a table.

    Example:
        >>> mib(5 << 20), mib(300 << 10), mib(None)
        ('5', '0.3', '-')
    """
    if num_bytes is None:
        return "-"
    value = num_bytes / MIB
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:.1f}"
