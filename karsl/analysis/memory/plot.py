"""The picture of a memory probe: what a worker has alone, what the job costs, how much of the records is copied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from karsl.analysis.memory.samples import MIB, Point, Series
from karsl.analysis.plotting import need_matplotlib

_COLOURS = {"on": "#0072B2", "off": "#D55E00", "mmengine": "#E69F00"}  # Okabe and Ito 2008: seen by colour-blind eyes
_STYLES = {"fork": ("-", "o"), "spawn": ("--", "s"), "forkserver": (":", "^")}
_NUDGE = 0.012  # of the axis: lines of equal values stay visible side by side


def draw_series(all_series: Sequence[Series], path: Path, *, title: str = "") -> None:
    """Write a PNG with three panels over the iterations.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    need_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    _panel(panels[0], all_series, lambda p: p.mean_uss / MIB, "memory that a worker has alone (mean USS)", "MiB")
    _panel(panels[1], all_series, _cost_mib, "what the job costs (sum of PSS, program + shared memory)", "MiB")
    copied = "record pages copied by a process (equal lines drawn apart)"
    _panel(panels[2], all_series, _private_percent, copied, "%", nudge=True)
    panels[2].set_ylim(-6, 109)
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=_columns(all_series), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _columns(all_series: Sequence[Series]) -> int:
    """A legend column for each way of keeping records, when the cases are a full grid."""
    ways = len({series.case.serialize for series in all_series})
    return ways if len(all_series) % ways == 0 and ways > 1 else min(len(all_series), 4)


def _cost_mib(point: Point) -> float:
    return float("nan") if point.cost is None else point.cost / MIB


def _private_percent(point: Point) -> float:
    return float("nan") if point.private_ratio is None else 100 * point.private_ratio


def _panel(
    axes: Any, all_series: Sequence[Series], value: Callable[[Point], float], title: str, unit: str, *, nudge: bool = False
) -> None:
    seen: list[list[float]] = []
    for series in all_series:
        y = [value(point) for point in series.points]
        lift = sum(1 for other in seen if other and y and abs(other[-1] - y[-1]) < 1) * _NUDGE * 100 if nudge else 0.0
        seen.append(y)
        line, marker = _STYLES.get(series.case.start_method, ("-", "o"))
        x = [point.iteration for point in series.points]
        colour = _COLOURS[series.case.serialize]
        axes.plot(x, [v + lift for v in y], line, marker=marker, ms=3.5, lw=1.5, color=colour, label=series.case.label)
    for boundary in _epoch_ends(all_series):
        axes.axvline(boundary, color="#cccccc", lw=1, zorder=0)
        axes.annotate("next epoch", (boundary, 0), xycoords=("data", "axes fraction"), xytext=(3, 3),
                      textcoords="offset points", fontsize=8, color="#888888")  # fmt: skip
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("iteration")
    axes.set_ylabel(unit)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _epoch_ends(all_series: Sequence[Series]) -> list[int]:
    points = max((series.points for series in all_series), key=len)
    return [before.iteration for before, after in zip(points, points[1:], strict=False) if after.epoch > before.epoch]
