"""Plot of a memory probe: private memory per worker, cost of the job, and fraction of copied records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from karsl.errors import missing_extra
from karsl.profiling.results import MIB, Point, Series

_COLORS = {"on": "#0072B2", "off": "#D55E00", "mmengine": "#E69F00"}  # Okabe and Ito 2008: safe for colour-blind readers
_STYLES = {"fork": ("-", "o"), "spawn": ("--", "s"), "forkserver": (":", "^")}
_NUDGE = 0.012  # fraction of the axis by which lines of equal values are moved apart


def require_matplotlib() -> None:
    """Check that matplotlib is installed, before minutes of measuring.

    Raises:
        MissingExtraError: It is not installed.
    """
    if find_spec("matplotlib") is None:
        raise missing_extra("viz", "matplotlib")


def draw_series(all_series: Sequence[Series], path: Path, *, title: str = "") -> None:
    """Write a PNG with three panels over the iterations.

    Args:
        all_series: One per case.
        path: File to write.
        title: Title of the figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    _panel(panels[0], all_series, lambda p: p.mean_uss / MIB, "private memory per worker (mean USS)", "MiB")
    _panel(panels[1], all_series, _cost_mib, "cost of the job (sum of PSS, program + shared memory)", "MiB")
    copied = "record pages copied by a process (equal lines are moved apart)"
    _panel(panels[2], all_series, _private_percent, copied, "%", nudge=True)
    panels[2].set_ylim(-6, 109)
    if title:
        figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=_columns(all_series), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _columns(all_series: Sequence[Series]) -> int:
    """Return the number of legend columns: one per kind of record storage when the cases are a full grid."""
    kinds = len({series.case.serialize for series in all_series})
    return kinds if len(all_series) % kinds == 0 and kinds > 1 else min(len(all_series), 4)


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
        color = _COLORS[series.case.serialize]
        axes.plot(x, [v + lift for v in y], line, marker=marker, ms=3.5, lw=1.5, color=color, label=series.case.label)
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
