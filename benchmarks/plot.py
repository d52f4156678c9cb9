"""Bar chart of the clips per second of each candidate, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path

from benchmarks.result import Result
from karsl.profiling.plot import require_matplotlib

# distinguishable with color blindness
_COLORS = {"karsl": "#0072b2", "part": "#56b4e9", "baseline": "#999999", "limit": "#d55e00"}


def draw_result(result: Result, path: Path) -> None:
    """Draw one panel per case.

    Args:
        result: Result of a run.
        path: Image file; its suffix sets the format.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    candidates = sorted(result.candidates.items(), key=lambda item: item[1].best)
    figure = Figure(figsize=(5.2 * len(result.cases), 0.32 * len(candidates) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(result.cases), sharex=True, sharey=True, squeeze=False)[0]
    for axes, case in zip(panels, result.cases, strict=True):
        rates = [candidate.median(case) or 0 for _, candidate in candidates]
        bars = axes.barh(
            [name for name, _ in candidates], rates, color=[_COLORS[candidate.role] for _, candidate in candidates]
        )
        axes.bar_label(bars, [f"{rate:,.0f}" if rate else "" for rate in rates], padding=3, fontsize=8)
        axes.set(xscale="log", title=case, xlabel="clips/s")
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
