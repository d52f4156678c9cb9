"""Contact sheets of one clip: as it lies on disk, as a pipeline leaves it, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.drawing.bars import draw_legend, draw_presence, draw_taken
from karsl.visualization.drawing.canvas import Canvas, shorten, text_width
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import MUTED, group_styles
from karsl.visualization.drawing.title import MARGIN, draw_title
from karsl.visualization.sheets.rows import COLUMN, LABELS, TIMES, body_views, draw_rows, plan_rows

_TITLE, _SECTION, _NARROWEST = 54, 22, 760


def clip_sheet(
    results: Mapping[str, Any],
    skeleton: Skeleton | None = None,
    *,
    metainfo: Mapping | None = None,
    frame_inds: np.ndarray | None = None,
    columns: int = 12,
) -> Any:
    """Frames of a clip side by side: body, hands, in which frames each group is seen, what a sampler took.

    Args:
        results: After LoadKeypoints or any later step before packing.
        skeleton: Of the points; default `results['skeleton']`.
        metainfo: The dataset's, for glosses.
        frame_inds: Positions of a sampler to mark; default `results['frame_inds']`.
        columns: Frames to show, at most.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        KeyError: `results` holds no keypoints.
        SkeletonError: The arrays do not fit the skeleton.
    """
    clip = ClipView.of(results, skeleton, metainfo=metainfo)
    return _sheet([("", clip)], frame_inds, columns)


def pipeline_sheet(
    stages: Sequence[tuple[str, Mapping[str, Any]]], *, metainfo: Mapping | None = None, columns: int = 12
) -> Any:
    """A clip after each of some steps, one above the other, each fitted to its own panels.

    Args:
        stages: Name and results of each, after LoadKeypoints and before packing; skeletons may differ.
        metainfo: The dataset's, for glosses.
        columns: Frames to show of each, at most.

    Returns:
        A `PIL.Image.Image` in RGB.
    """
    sections = [(name, ClipView.of(results, metainfo=metainfo)) for name, results in stages]
    if len(sections) == 1:
        return _sheet([("", sections[0][1])], None, columns)
    taken = [clip.frame_inds for _, clip in sections if clip.frame_inds is not None]
    return _sheet(sections, taken[0] if taken else None, columns)


def _sheet(sections: list[tuple[str, ClipView]], frame_inds: np.ndarray | None, columns: int) -> Any:
    plans = [(name, clip, clip.shown_frames(max(columns, 1))) for name, clip in sections]
    widest = max(len(frames) for *_, frames in plans)
    width = max(LABELS + widest * COLUMN + MARGIN, _NARROWEST)
    canvas = Canvas(width, _TITLE + sum(_height(*plan, frame_inds) for plan in plans) + 20)
    first = sections[0][1]
    _draw_title(canvas, first)
    top, ticks = float(_TITLE), False
    for (name, clip, frames), body in zip(plans, body_views([clip for _, clip in sections]), strict=True):
        if name:
            canvas.text(8, top + 4, name, size=12, bold=True)
            note = max(float(LABELS), 8 + text_width(name, size=12, bold=True) + 14)
            canvas.text(note, top + 6, _section_note(clip), size=10, colour=MUTED)
            top += _SECTION
        top = draw_rows(canvas, clip, frames, top, body) + 8
        span = {"left": LABELS, "width": len(frames) * COLUMN}
        top = draw_presence(canvas, clip, top=top, **span)
        taken = _taken(clip, frame_inds)
        if taken is not None:
            top, ticks = draw_taken(canvas, taken, clip.total_frames, top=top, **span), True
        top += 8
    draw_legend(canvas, first, right=width - MARGIN, top=top - 4, ticks=ticks)
    return canvas.finish()


def _height(name: str, clip: ClipView, frames: np.ndarray, frame_inds: np.ndarray | None) -> int:
    rows = TIMES + sum(row.height for row in plan_rows(clip, frames))
    bars = 13 * len(group_styles(clip.skeleton)) + (11 if _taken(clip, frame_inds) is not None else 0)
    return (_SECTION if name else 0) + rows + 8 + bars + 8


def _taken(clip: ClipView, frame_inds: np.ndarray | None) -> np.ndarray | None:
    """Ticks belong below a clip on disk time; a clip already sampled has them only where none was shown above."""
    if clip.is_on_disk_time:
        return frame_inds
    return clip.frame_inds if frame_inds is None else None


def _draw_title(canvas: Canvas, clip: ClipView) -> None:
    room = draw_title(canvas, clip)
    canvas.text(8, 31, shorten(" · ".join(filter(None, (clip.facts, clip.clip_id))), room, size=11), size=11, colour=MUTED)


def _section_note(clip: ClipView) -> str:
    frames = f"{clip.num_frames} frame" + ("" if clip.num_frames == 1 else "s")
    points = f"{clip.skeleton.num_keypoints} keypoints"
    source = "" if clip.is_on_disk_time else f"t ← place among the {clip.total_frames} frames on disk"
    return " · ".join(filter(None, (frames, points, source)))
