"""Captions of a clip: title, bars of the frames in which each group is present, legend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from karsl.visualization.draw.canvas import Canvas, shorten, text_width
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.draw.palette import GRID, INK, MISSING, MUTED, GroupStyle, group_styles

MARGIN = 12  # pixels, right
BAR, GAP, TICK = 9, 4, 7  # pixels, vertical


def draw_title(
    canvas: Canvas,
    clip: ClipPlot,
    *,
    default: str = "clip",
    size: int = 16,
    arabic_size: int = 21,
    top: float = 8,
    gap: int = 16,
) -> float:
    """Draw SignID and English gloss on the left, the Arabic gloss on the right.

    Args:
        canvas: Canvas to draw on.
        clip: Clip to name.
        default: Title of a clip without SignID and gloss.
        size, arabic_size: Font sizes in pixels.
        top: Vertical position in pixels.
        gap: Pixels to leave free before the Arabic gloss.

    Returns:
        Width in pixels left of the Arabic gloss.
    """
    width = float(canvas.width - 2 * MARGIN)
    if clip.arabic:
        canvas.text(canvas.width - MARGIN, top, clip.arabic, size=arabic_size, anchor="ra", arabic=True)
        width -= text_width(clip.arabic, size=arabic_size, arabic=True) + gap
    canvas.text(8, top, shorten(clip.title or default, width, size=size, bold=True), size=size, bold=True, color=INK)
    return width


def draw_presence(canvas: Canvas, clip: ClipPlot, *, left: float, width: float, top: float) -> float:
    """Draw one bar per group over the frames of the clip; return the vertical position below them."""
    for style in group_styles(clip.skeleton):
        canvas.text(8, top + BAR / 2, style.label, size=9, color=style.color, anchor="lm")
        draw_bar(canvas, clip, style, left=left, width=width, top=top, height=BAR)
        top += BAR + GAP
    return top


def draw_bar(
    canvas: Canvas, clip: ClipPlot, style: GroupStyle, *, left: float, width: float, top: float, height: float = 4
) -> None:
    """Draw the frames in which one group is present."""
    step = width / clip.num_frames
    canvas.box(left, top, width, height, fill=MISSING)
    for start, stop in runs(clip.present(style.name)):
        canvas.box(left + start * step, top, (stop - start) * step, height, fill=style.color)


def draw_sampled_frames(
    canvas: Canvas, frame_inds: np.ndarray, total_frames: int, *, left: float, width: float, top: float
) -> float:
    """Draw a tick per frame sampled from a clip of `total_frames`; return the vertical position below them."""
    canvas.text(8, top + TICK / 2 + 1, "sampled frames", size=9, color=MUTED, anchor="lm")
    canvas.line((left, top), (left + width, top), GRID)
    for index in frame_inds[np.isfinite(frame_inds)]:
        canvas.triangle(left + width * min(max((index + 0.5) / total_frames, 0), 1), top + 1, TICK, INK)
    return top + TICK + GAP


def draw_legend(canvas: Canvas, clip: ClipPlot, *, right: float, top: float, ticks: bool) -> None:
    """Draw the meaning of colors and marks on one line that ends at `right`."""
    entries = [(style.color, style.label) for style in group_styles(clip.skeleton)] + [(MISSING, "missing")]
    x = right - sum(text_width(label, size=9) + 24 for _, label in entries) + 12
    if ticks:
        label = "sampled frame"
        start = x - text_width(label, size=9) - 26
        canvas.triangle(start + 4, top + 2, TICK, INK)
        canvas.text(start + 12, top + 6, label, size=9, color=MUTED, anchor="lm")
    for color, label in entries:
        canvas.box(x, top + 2, 8, 8, fill=color)
        canvas.text(x + 12, top + 6, label, size=9, color=MUTED, anchor="lm")
        x += text_width(label, size=9) + 24


def runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield start and stop of each run of True.

    Example:
        >>> list(runs(np.array([True, True, False, True])))
        [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
