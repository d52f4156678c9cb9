"""One frame of a skeleton on a canvas."""

from __future__ import annotations

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.drawing.canvas import Canvas
from karsl.visualization.drawing.palette import LEFT, RIGHT, bones, dots

_LONG_TETHER = 4.0  # pixels; below it the hand's own lines hide it


def draw_skeleton(
    canvas: Canvas, pixels: np.ndarray, skeleton: Skeleton, *, only: slice | None = None, zoom: float = 1.0
) -> None:
    """Draw bones, points, and a tether from each hand to the wrist of its own arm.

    A tether is short where all is well; across the body it shows a wrong flip.

    Args:
        canvas: Where to draw.
        pixels: (V, 2) places on the canvas; NaN is left out.
        skeleton: What the points are.
        only: Keypoints to draw, one group's; default all.
        zoom: Thickness of lines and dots, relative to a body panel.
    """
    wanted = range(*(only or slice(None)).indices(skeleton.num_keypoints))
    seen = np.isfinite(pixels).all(-1)
    if only is None:
        _tethers(canvas, pixels, seen, skeleton)
    for bone in bones(skeleton):
        if seen[bone.start] and seen[bone.end] and bone.start in wanted and bone.end in wanted:
            canvas.line(pixels[bone.start], pixels[bone.end], bone.colour, width=bone.width * zoom)
    for point, colour in dots(skeleton):
        if seen[point] and point in wanted:
            canvas.dot(pixels[point], 1.2 * zoom, colour)


def _tethers(canvas: Canvas, pixels: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> None:
    for side, colour in (("right", RIGHT), ("left", LEFT)):
        ends = f"{side}_wrist", f"{side}_hand_wrist"
        if not set(ends) <= set(skeleton.names):
            continue
        wrist, hand = skeleton.indices(ends)
        if seen[wrist] and seen[hand] and np.linalg.norm(pixels[wrist] - pixels[hand]) > _LONG_TETHER:
            canvas.dashes(pixels[wrist], pixels[hand], colour, width=1.0)
