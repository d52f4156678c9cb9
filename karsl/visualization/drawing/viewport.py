"""From a clip's coordinates to pixels: fitted to what is there, the same scale in x and y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Viewport:
    """Shows the square or rectangle around `centre` (2,) at `scale` pixels a unit in a panel of `size` (width, height)."""

    centre: np.ndarray
    scale: float
    size: tuple[float, float]

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) places in the clip to (..., 2) pixels in the panel; NaN stays."""
        return (points - self.centre) * self.scale + np.asarray(self.size) / 2


def bounds(points: np.ndarray) -> np.ndarray | None:
    """Smallest and largest x, y of all finite points, strays left out; (2, 2), or None if there is none.

    Example:
        >>> bounds(np.array([[0.0, 0.0], [4.0, 2.0], [np.nan, np.nan]])).tolist()
        [[0.0, 0.0], [4.0, 2.0]]
    """
    flat = points.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(-1)]
    if not len(flat):
        return None
    if len(flat) < 200:  # too few to tell a stray from a movement
        return np.stack([flat.min(0), flat.max(0)])
    return np.percentile(flat, [0.5, 99.5], axis=0)


def fit(parts: list[np.ndarray], size: tuple[float, float], *, pad: float = 6.0) -> Viewport:
    """Show every part: each is bounded by itself, so that many points of one do not make strays of another's few.

    Args:
        parts: Arrays (..., 2).
        size: Width and height of the panel in pixels.
        pad: Pixels to leave free on each side.
    """
    found = [b for b in map(bounds, parts) if b is not None]
    if not found:
        return Viewport(np.zeros(2), 1.0, size)
    low, high = np.min([b[0] for b in found], axis=0), np.max([b[1] for b in found], axis=0)
    room = np.maximum(np.asarray(size) - 2 * pad, 1.0)
    extent = float(np.max((high - low) / room))
    return Viewport((low + high) / 2, 1 / extent if extent > 1e-12 else 1.0, size)


def fit_following(points: np.ndarray, size: tuple[float, float], *, pad: float = 8.0) -> list[Viewport]:
    """One viewport a frame, all of one scale, each centered on its frame's points: a hand row.

    Args:
        points: (T, V, 2) of one group.
        size: Width and height of a panel in pixels.
        pad: Pixels to leave free on each side.

    Returns:
        T viewports; one of a frame without points shows nothing in particular.
    """
    boxes = [bounds(frame) for frame in points]
    spans = [box[1] - box[0] for box in boxes if box is not None]
    if not spans:
        return [Viewport(np.zeros(2), 1.0, size)] * len(points)
    room = np.maximum(np.asarray(size) - 2 * pad, 1.0)
    extent = float((np.array(spans) / room).max(-1).max())
    scale = 1 / extent if extent > 1e-12 else 1.0
    return [Viewport(np.zeros(2) if box is None else box.mean(0), scale, size) for box in boxes]


def fit_alike(stages: list[list[np.ndarray]], size: tuple[float, float], *, pad: float = 8.0) -> list[Viewport]:
    """One viewport a stage; neighbours in like coordinates share theirs, so that what a step moved is seen to move.

    Args:
        stages: For each the arrays (..., 2) that `fit` takes.
        size: Width and height of each panel in pixels.
        pad: Pixels to leave free on each side.

    Example:
        >>> near, moved = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.2, 0.0], [1.2, 1.0]])
        >>> a, b, c = fit_alike([[near], [moved], [near * 100]], (100, 100))
        >>> a is b, b is c
        (True, False)
    """
    runs: list[list[int]] = []
    views = [fit(parts, size, pad=pad) for parts in stages]
    for number, view in enumerate(views):
        if runs and _is_alike(views[runs[-1][0]], view):
            runs[-1].append(number)
        else:
            runs.append([number])
    shared = []
    for run in runs:
        view = views[run[0]] if len(run) == 1 else fit([part for number in run for part in stages[number]], size, pad=pad)
        shared += [view] * len(run)
    return shared


def _is_alike(one: Viewport, other: Viewport) -> bool:
    """Scales within a factor of 1.6, and centres within half a panel."""
    ratio = other.scale / one.scale
    return 1 / 1.6 < ratio < 1.6 and float(np.abs((other.centre - one.centre) * one.scale).max()) < min(one.size) / 2
