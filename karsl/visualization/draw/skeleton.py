"""Drawing of one frame of a clip, fitted to a panel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.draw.canvas import Canvas
from karsl.visualization.draw.clip import ClipPlot, aspect_ratio
from karsl.visualization.draw.palette import FAINT, LEFT, RIGHT, GroupStyle, bones, dots

_MIN_TETHER = 4.0  # pixels; shorter ones are hidden by the lines of the hand
_MIN_EXTENT = 1e-12


@dataclass(frozen=True)
class Viewport:
    """A region of a clip's coordinates shown in a panel.

    Attributes:
        center: float64 (2,), coordinates at the center of the panel.
        scale: Pixels per unit, the same in x and y.
        size: Width and height of the panel in pixels.
    """

    center: np.ndarray
    scale: float
    size: tuple[float, float]

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Map coordinates (..., 2) to pixels (..., 2) in the panel; NaN stays NaN."""
        return (points - self.center) * self.scale + np.asarray(self.size) / 2


def draw_frame(
    canvas: Canvas,
    clip: ClipPlot,
    frame: int,
    view: Viewport,
    *,
    group: GroupStyle | None = None,
    zoom: float = 1.0,
    text_size: int = 10,
) -> None:
    """Draw one frame of a clip, or "missing" if it has no point to show.

    Args:
        canvas: Canvas of the panel.
        clip: Clip to show.
        frame: Frame in [0, T).
        view: Region of the panel.
        group: Group to draw. None draws all.
        zoom: As for `draw_skeleton`.
        text_size: Size of "missing" in pixels.
    """
    only = clip.skeleton.groups[group.name] if group else None
    points = clip.points[frame]
    is_seen = np.isfinite(points[only or slice(None)]).all(-1).any()
    if len(clip.pictures) and (is_seen or group is None):  # the view of an absent group is somewhere else
        left_top, right_bottom = view.to_pixels(np.array([[0.0, 0.0], [aspect_ratio(clip.pictures), 1.0]]))
        canvas.picture(clip.pictures[frame], *left_top, *(right_bottom - left_top))
    if is_seen:
        draw_skeleton(canvas, view.to_pixels(points), clip.skeleton, only=only, zoom=zoom)
    else:
        canvas.text(canvas.width / 2, canvas.height / 2, "missing", size=text_size, color=FAINT, anchor="mm")


def draw_skeleton(
    canvas: Canvas, pixels: np.ndarray, skeleton: Skeleton, *, only: slice | None = None, zoom: float = 1.0
) -> None:
    """Draw bones, points, and a tether from each hand to the wrist of its own arm.

    A tether is short if the hand is attached to its arm; a long one shows a wrong flip.

    Args:
        canvas: Canvas to draw on.
        pixels: (V, 2) positions on the canvas; NaN is not drawn.
        skeleton: Skeleton of the points.
        only: Keypoints of one group to draw. None draws all.
        zoom: Thickness of lines and dots, relative to a body panel.
    """
    visible = range(*(only or slice(None)).indices(skeleton.num_keypoints))
    seen = np.isfinite(pixels).all(-1)
    if only is None:
        _draw_tethers(canvas, pixels, seen, skeleton)
    for bone in bones(skeleton):
        if seen[bone.start] and seen[bone.end] and bone.start in visible and bone.end in visible:
            canvas.line(pixels[bone.start], pixels[bone.end], bone.color, width=bone.width * zoom)
    for point, color in dots(skeleton):
        if seen[point] and point in visible:
            canvas.dot(pixels[point], 1.2 * zoom, color)


def _draw_tethers(canvas: Canvas, pixels: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> None:
    for side, color in (("right", RIGHT), ("left", LEFT)):
        ends = f"{side}_wrist", f"{side}_hand_wrist"
        if not set(ends) <= set(skeleton.names):
            continue
        wrist, hand = skeleton.indices(ends)
        if seen[wrist] and seen[hand] and np.linalg.norm(pixels[wrist] - pixels[hand]) > _MIN_TETHER:
            canvas.dashes(pixels[wrist], pixels[hand], color)


def limits(points: np.ndarray) -> np.ndarray | None:
    """Return the smallest and largest x, y of all finite points, without outliers; (2, 2), or None without points.

    Example:
        >>> limits(np.array([[0.0, 0.0], [4.0, 2.0], [np.nan, np.nan]])).tolist()
        [[0.0, 0.0], [4.0, 2.0]]
    """
    flat = points.reshape(-1, 2)
    flat = flat[np.isfinite(flat).all(-1)]
    if not len(flat):
        return None
    if len(flat) < 200:  # too few to distinguish an outlier from a movement
        return np.stack([flat.min(0), flat.max(0)])
    return np.percentile(flat, [0.5, 99.5], axis=0)


def fit(groups: list[np.ndarray], size: tuple[float, float], *, pad: float = 6.0) -> Viewport:
    """Fit a viewport to all groups of points. Outliers are found per group, so that a large group does not hide a small one.

    Args:
        groups: Arrays (..., 2).
        size: Width and height of the panel in pixels.
        pad: Pixels to leave free on each side.
    """
    boxes = [box for box in map(limits, groups) if box is not None]
    if not boxes:
        return Viewport(np.zeros(2), 1.0, size)
    low, high = np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0)
    return Viewport((low + high) / 2, _scale(np.stack([high - low]), size, pad), size)


def fit_per_frame(points: np.ndarray, size: tuple[float, float], *, pad: float = 8.0) -> list[Viewport]:
    """Fit one viewport per frame, all of one scale, each centered on the points of its frame.

    Args:
        points: (T, V, 2) of one group.
        size: Width and height of a panel in pixels.
        pad: Pixels to leave free on each side.

    Returns:
        T viewports; that of a frame without points is centered on the origin.
    """
    boxes = [limits(frame) for frame in points]
    spans = [box[1] - box[0] for box in boxes if box is not None]
    if not spans:
        return [Viewport(np.zeros(2), 1.0, size)] * len(points)
    scale = _scale(np.array(spans), size, pad)
    return [Viewport(np.zeros(2) if box is None else box.mean(0), scale, size) for box in boxes]


def fit_shared(stages: list[list[np.ndarray]], size: tuple[float, float], *, pad: float = 8.0) -> list[Viewport]:
    """Fit one viewport per stage. Successive stages of similar scale and position share one, which makes shifts visible.

    Args:
        stages: Arrays (..., 2) of each stage, as in `fit`.
        size: Width and height of each panel in pixels.
        pad: Pixels to leave free on each side.

    Example:
        >>> near, moved = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.2, 0.0], [1.2, 1.0]])
        >>> a, b, c = fit_shared([[near], [moved], [near * 100]], (100, 100))
        >>> a is b, b is c
        (True, False)
    """
    runs: list[list[int]] = []
    views = [fit(groups, size, pad=pad) for groups in stages]
    for number, view in enumerate(views):
        if runs and _is_similar(views[runs[-1][0]], view):
            runs[-1].append(number)
        else:
            runs.append([number])
    shared = []
    for run in runs:
        view = views[run[0]] if len(run) == 1 else fit([group for k in run for group in stages[k]], size, pad=pad)
        shared += [view] * len(run)
    return shared


def _scale(spans: np.ndarray, size: tuple[float, float], pad: float) -> float:
    """Return pixels per unit so that the largest of spans (N, 2) fits into the panel."""
    extent = float((spans / np.maximum(np.asarray(size) - 2 * pad, 1.0)).max())
    return 1 / extent if extent > _MIN_EXTENT else 1.0


def _is_similar(one: Viewport, other: Viewport) -> bool:
    """Return True if the scales are within a factor of 1.6 and the centers within half a panel."""
    ratio = other.scale / one.scale
    return 1 / 1.6 < ratio < 1.6 and float(np.abs((other.center - one.center) * one.scale).max()) < min(one.size) / 2
