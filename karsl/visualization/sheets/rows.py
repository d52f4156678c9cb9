"""Rows of panels, one panel a frame: the whole body, and each hand enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from karsl.visualization.drawing.canvas import Canvas
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import GRID, MUTED, GroupStyle, group_styles
from karsl.visualization.drawing.skeleton import draw_skeleton
from karsl.visualization.drawing.viewport import Viewport, fit, fit_alike, fit_following

LABELS, COLUMN = 104, 120  # pixels across: the row labels, one panel
TIMES, BODY, HAND, GROUP = 15, 124, 84, 100  # pixels down: time labels, panels


@dataclass(frozen=True)
class Row:
    """A row of panels; `group` None is the whole body; one viewport for each shown frame."""

    label: str
    group: GroupStyle | None
    height: int
    views: list[Viewport]


def plan_rows(clip: ClipView, frames: np.ndarray, body: Viewport | None = None) -> list[Row]:
    """The rows that a clip needs: body and hands, or every group in a frame of its own where they do not fit together.

    Args:
        clip: What is shown.
        frames: int64 (n,), the frames of the panels.
        body: Shows the whole body; default fitted to the clip.
    """
    styles = group_styles(clip.skeleton)
    if clip.hands_float():
        return [_group_row(clip, style, frames, follow=False) for style in styles]
    body = body or body_views([clip])[0]
    hands = sorted((s for s in styles if s.side), key=lambda s: s.side == "left")
    rows = [Row("body", None, BODY, [body] * len(frames))]
    if len(hands) == len(styles) == 1:
        return rows  # nothing but one hand: the body row shows it as large
    return rows + [_group_row(clip, style, frames, follow=True) for style in hands]


def body_views(clips: Sequence[ClipView]) -> list[Viewport]:
    """One for each clip's body; neighbours in like coordinates share theirs, see `fit_alike`."""
    parts = [clip.framed() for clip in clips]
    return fit_alike(parts, (COLUMN, BODY), pad=6.0)


def _group_row(clip: ClipView, style: GroupStyle, frames: np.ndarray, *, follow: bool) -> Row:
    points = clip.points[:, clip.skeleton.groups[style.name]]
    height = HAND if follow else GROUP
    size = (COLUMN, height)
    views = fit_following(points, size) if follow else [fit([points], size)] * clip.num_frames
    return Row(style.label, style, height, [views[t] for t in frames])


def draw_rows(canvas: Canvas, clip: ClipView, frames: np.ndarray, top: float, body: Viewport | None = None) -> float:
    """Draw the time of each column and all rows of a clip below `top`; returns where they end."""
    for column, frame in enumerate(frames.tolist()):
        canvas.text(LABELS + column * COLUMN + 3, top + 1, _time_label(clip, frame), size=9, colour=MUTED)
    top += TIMES
    for row in plan_rows(clip, frames, body):
        _row_label(canvas, clip, row, top)
        for column, (frame, view) in enumerate(zip(frames, row.views, strict=True)):
            x = LABELS + column * COLUMN
            with canvas.panel(x, top, COLUMN, row.height) as panel:
                _panel(panel, clip, row, int(frame), view)
            canvas.box(x, top, COLUMN + 1, row.height + 1, edge=GRID)
        top += row.height
    return top


def _panel(panel: Canvas, clip: ClipView, row: Row, frame: int, view: Viewport) -> None:
    only = clip.skeleton.groups[row.group.name] if row.group else None
    points = clip.points[frame]
    if not np.isfinite(points[only or slice(None)]).all(-1).any():
        panel.text(panel.width / 2, panel.height / 2, "missing", size=10, colour="#a8b1bd", anchor="mm")
        return
    draw_skeleton(panel, view.to_pixels(points), clip.skeleton, only=only, zoom=1.25 if row.group else 1.0)


def _row_label(canvas: Canvas, clip: ClipView, row: Row, top: float) -> None:
    middle = top + row.height / 2
    if row.group is None:
        canvas.text(8, middle, row.label, size=11, anchor="lm")
        return
    canvas.text(8, middle - 7, row.label, size=11, colour=row.group.colour, anchor="lm")
    share = f"{clip.present(row.group.name).mean():.0%} of frames"
    canvas.text(8, middle + 8, share, size=9, colour=MUTED, anchor="lm")


def _time_label(clip: ClipView, frame: int) -> str:
    if clip.frame_inds is None or frame >= len(clip.frame_inds):
        return f"t={frame}"
    return f"t={frame} ← {clip.frame_inds[frame]:.1f}"
