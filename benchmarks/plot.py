"""The picture: clips a second of every way, on a logarithmic axis."""

from __future__ import annotations

from pathlib import Path

from benchmarks.result import Result
from karsl.profiling.plot import require_matplotlib

# told apart also without colour vision
_COLOURS = {"ours": "#0072b2", "part": "#56b4e9", "peer": "#999999", "limit": "#d55e00"}


def draw_result(result: Result, path: Path) -> None:
    """Write bars of every way, a panel a case; the suffix of `path` says the format.

    Raises:
        MissingExtraError: matplotlib is absent.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    ways = sorted(result.ways.items(), key=lambda item: item[1].best)
    figure = Figure(figsize=(5.2 * len(result.cases), 0.32 * len(ways) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(result.cases), sharex=True, sharey=True, squeeze=False)[0]
    for axes, case in zip(panels, result.cases, strict=True):
        rates = [way.median(case) or 0 for _, way in ways]
        bars = axes.barh([name for name, _ in ways], rates, color=[_COLOURS[way.role] for _, way in ways])
        axes.bar_label(bars, [f"{rate:,.0f}" if rate else "" for rate in rates], padding=3, fontsize=8)
        axes.set(xscale="log", title=case, xlabel="clips/s")
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
