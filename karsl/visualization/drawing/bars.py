"""Below the panels: in which frames each group is seen, and which frames a sampler took."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from karsl.visualization.drawing.canvas import Canvas, text_width
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import GRID, INK, MISSING, MUTED, GroupStyle, group_styles

BAR, GAP, TICK = 9, 4, 7  # pixels down


def draw_presence(canvas: Canvas, clip: ClipView, *, left: float, width: float, top: float) -> float:
    """One bar a group over the clip's frames; returns where they end."""
    for style in group_styles(clip.skeleton):
        canvas.text(8, top + BAR / 2, style.label, size=9, colour=style.colour, anchor="lm")
        draw_bar(canvas, clip, style, left=left, width=width, top=top, height=BAR)
        top += BAR + GAP
    return top


def draw_bar(
    canvas: Canvas, clip: ClipView, style: GroupStyle, *, left: float, width: float, top: float, height: float = 4
) -> None:
    """In which of the clip's frames one group is seen."""
    step = width / clip.num_frames
    canvas.box(left, top, width, height, fill=MISSING)
    for start, stop in runs(clip.present(style.name)):
        canvas.box(left + start * step, top, (stop - start) * step, height, fill=style.colour)


def draw_taken(canvas: Canvas, frame_inds: np.ndarray, total_frames: int, *, left: float, width: float, top: float) -> float:
    """A tick for each position that a sampler took from a clip of `total_frames`; returns where they end."""
    canvas.text(8, top + TICK / 2 + 1, "sampler took", size=9, colour=MUTED, anchor="lm")
    canvas.line((left, top), (left + width, top), GRID)
    for position in frame_inds[np.isfinite(frame_inds)]:
        canvas.triangle(left + width * min(max((position + 0.5) / total_frames, 0), 1), top + 1, TICK, INK)
    return top + TICK + GAP


def draw_legend(canvas: Canvas, clip: ClipView, *, right: float, top: float, ticks: bool) -> None:
    """What the colours and marks mean, on one line that ends at `right`."""
    entries = [(style.colour, style.label) for style in group_styles(clip.skeleton)] + [(MISSING, "missing")]
    x = right - sum(text_width(label, size=9) + 24 for _, label in entries) + 12
    if ticks:
        label = "frame that the sampler took"
        start = x - text_width(label, size=9) - 26
        canvas.triangle(start + 4, top + 2, TICK, INK)
        canvas.text(start + 12, top + 6, label, size=9, colour=MUTED, anchor="lm")
    for colour, label in entries:
        canvas.box(x, top + 2, 8, 8, fill=colour)
        canvas.text(x + 12, top + 6, label, size=9, colour=MUTED, anchor="lm")
        x += text_width(label, size=9) + 24


def runs(flags: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and stop of each run of True.

    Example:
        >>> list(runs(np.array([True, True, False, True])))
        [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
