"""What the figures of a memory probe mean, in words."""

from __future__ import annotations

import numpy as np

from karsl.analysis.memory.samples import MIB, Series

_COPY_RATIO = 0.005  # a page or two of a buffer's edges are shared with other data
_FEW_POINTS = 6
_NOISE_BYTES = 4 * MIB  # allocators give back late: USS of an idle worker wanders by a few MiB
_NOISE_RATIO = 0.02
_STEADY = 0.75  # share of pairs of later points that must rise for a leak


def sharing_verdict(series: Series) -> str:
    """Whether processes share the pages of the records, at the last point."""
    last = series.last
    kinds = {p.records for p in last.processes}
    if kinds == {None}:
        return "the dataset keeps no records that this tool knows"
    ratio, private = last.private_ratio, last.private_bytes
    if ratio is None or private is None:
        return "cannot see: this system does not show page maps of processes (Linux does, for one's own processes)"
    if ratio < _COPY_RATIO:
        return f"shared: {100 * ratio:.1f} % of the record pages are private copies"
    return f"copied: {100 * ratio:.0f} % of the record pages, {private / MIB:.0f} MiB a process"


def growth_verdict(series: Series) -> str:
    """Whether private memory of the workers goes on growing over the later half of the points.

    A leak rises steadily and goes on; a plateau, be it reached by copying pages, does not. The slope is the median over all
    pairs of points (Theil-Sen), which outliers do not move.
    """
    late = series.points[len(series.points) // 2 :]
    if len(late) < _FEW_POINTS // 2 or late[-1].iteration == late[0].iteration:
        return "too few points for a verdict on growth"
    x = np.array([point.iteration for point in late], float)
    y = np.array([point.mean_uss for point in late])
    first, second = np.triu_indices(len(late), 1)
    rises = y[second] - y[first]
    slope = float(np.median(rises / (x[second] - x[first])))
    grown = slope * (x[-1] - x[0])
    who = "a worker" if any(p.role != "main" for p in series.last.processes) else "in a main process"
    span = f"{late[-1].iteration - late[0].iteration:,} iterations"
    if grown > max(_NOISE_BYTES, _NOISE_RATIO * y[0]) and (rises > 0).mean() >= _STEADY:
        rate = f"{1000 * slope / MIB:.1f} MiB per 1,000"
        return f"grows: +{grown / MIB:.0f} MiB {who} over the last {span}, {rate}: a leak, or not over yet"
    return f"plateau: {grown / MIB:+.0f} MiB {who} over the last {span}"


def gate(series: Series, max_private_mb: float) -> str | None:
    """Why a case fails a limit on private copies of records, None when it passes.

    Args:
        max_private_mb: Largest private copy of record pages that one process may have, in MiB. Where page maps cannot be
            seen, all private memory of a worker counts, which is more.
    """
    private, what = series.last.private_bytes, "private copies of record pages"
    if private is None:
        private, what = max(p.uss for p in series.last.workers), "private memory (page maps cannot be seen)"
    if private <= max_private_mb * MIB:
        return None
    return f"{series.case.label}: {private / MIB:.1f} MiB of {what} in one process, more than {max_private_mb:g}"
