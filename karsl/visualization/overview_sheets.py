"""Contact sheets of many clips: one frame per clip, or the clips of one sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from karsl.errors import pluralize
from karsl.visualization.draw.canvas import Canvas, shorten, text_width
from karsl.visualization.draw.captions import MARGIN, draw_bar, draw_title
from karsl.visualization.draw.clip import ClipPlot
from karsl.visualization.draw.palette import GRID, MUTED, group_styles
from karsl.visualization.draw.skeleton import Viewport, draw_frame, fit

Metainfo = Mapping | Sequence[Mapping] | None

_CELL, _PICTURE, _CAPTION, _OVERVIEW_TITLE = 196, 172, 62, 40  # pixels: horizontal; vertical
_LEFT, _COLUMN, _ROW, _BARS, _SIGN_TITLE = 150, 112, 112, 14, 54  # pixels


def overview_sheet(
    clips: Iterable[Mapping[str, Any]], *, metainfo: Metainfo = None, title: str = "", columns: int = 6
) -> Any:
    """Draw a grid of clips: the most complete frame near the middle, the gloss, and the presence of each hand.

    Args:
        clips: Results after LoadKeypoints or later, before packing.
        metainfo: Metainfo of the dataset, for glosses; or one per clip.
        title: Title of the sheet.
        columns: Clips per row.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        ValueError: If there are no clips.
    """
    plots = _read_clips(clips, metainfo, "overview_sheet")
    columns = max(1, min(columns, len(plots)))
    rows = -(-len(plots) // columns)
    canvas = Canvas(columns * _CELL + 1, _OVERVIEW_TITLE + rows * (_PICTURE + _CAPTION) + 1)
    canvas.text(
        8, 12, shorten(title or pluralize(len(plots), "clip"), canvas.width - 16, size=14, bold=True), size=14, bold=True
    )
    for number, clip in enumerate(plots):
        x, y = number % columns * _CELL, _OVERVIEW_TITLE + number // columns * (_PICTURE + _CAPTION)
        _draw_cell(canvas, clip, x, y)
    return canvas.finish()


def sign_sheet(clips: Sequence[Mapping[str, Any]], *, metainfo: Metainfo = None, columns: int = 9) -> Any:
    """Draw the clips of one sign, one row per clip, with evenly spread frames and the same scale.

    Args:
        clips: Results after LoadKeypoints or later, before packing.
        metainfo: Metainfo of the dataset, for glosses; or one per clip.
        columns: Frames per clip.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        ValueError: If there are no clips.
    """
    plots = _read_clips(clips, metainfo, "sign_sheet")
    canvas = Canvas(_LEFT + columns * _COLUMN + MARGIN, _SIGN_TITLE + len(plots) * (_ROW + _BARS) + 8)
    _draw_sign_title(canvas, plots)
    size = (_COLUMN, _ROW)
    views = [fit(clip.points_to_fit(), size) for clip in plots]
    median = float(np.median([view.scale for view in views]))
    is_similar = [median / 2 < view.scale < median * 2 for view in views]
    scale = min((view.scale for view, similar in zip(views, is_similar, strict=True) if similar), default=median)
    for number, (clip, view, similar) in enumerate(zip(plots, views, is_similar, strict=True)):
        shown = Viewport(view.center, scale, size) if similar else view
        _draw_sign_row(canvas, clip, shown, _SIGN_TITLE + number * (_ROW + _BARS), columns)
    return canvas.finish()


def _read_clips(clips: Iterable[Mapping[str, Any]], metainfo: Metainfo, caller: str) -> list[ClipPlot]:
    clips = list(clips)
    if not clips:
        raise ValueError(f"{caller} was given no clips; check the filter or the range that selects them")
    per_clip = [metainfo] * len(clips) if metainfo is None or isinstance(metainfo, Mapping) else metainfo
    return [ClipPlot.from_results(results, metainfo=meta) for results, meta in zip(clips, per_clip, strict=True)]


def _draw_cell(canvas: Canvas, clip: ClipPlot, x: float, y: float) -> None:
    frame = clip.best_frame()
    with canvas.panel(x, y, _CELL, _PICTURE) as panel:
        view = fit(clip.points_to_fit(), (_CELL, _PICTURE), pad=10)
        draw_frame(panel, clip, frame, view, zoom=1.15, text_size=11)
    _draw_hand_bars(canvas, clip, x + 8, y + _PICTURE - 2)
    width: float = _CELL - 16
    if clip.arabic:
        canvas.text(x + _CELL - 8, y + _PICTURE + 8, clip.arabic, size=14, anchor="ra", arabic=True)
        width -= text_width(clip.arabic, size=14, arabic=True) + 6
    canvas.text(x + 8, y + _PICTURE + 10, shorten(clip.title, width, size=11, bold=True), size=11, bold=True)
    subtitle = shorten(f"{clip.subtitle} · t={frame}", _CELL - 16, size=9)
    canvas.text(x + 8, y + _PICTURE + 29, subtitle, size=9, color=MUTED)
    clip_id = shorten(clip.clip_id, _CELL - 16, size=9, keep_end=True)
    canvas.text(x + 8, y + _PICTURE + 43, clip_id, size=9, color=MUTED)
    canvas.box(x, y, _CELL + 1, _PICTURE + _CAPTION + 1, edge=GRID)


def _draw_hand_bars(canvas: Canvas, clip: ClipPlot, x: float, y: float) -> None:
    hands = [style for style in group_styles(clip.skeleton) if style.side]
    width = (_CELL - 16 - 4 * (len(hands) - 1)) / max(len(hands), 1)
    for style in hands:
        draw_bar(canvas, clip, style, left=x, width=width, top=y)
        x += width + 4


def _draw_sign_title(canvas: Canvas, clips: Sequence[ClipPlot]) -> None:
    draw_title(canvas, clips[0], default="clips")
    lengths = sorted({clip.num_frames for clip in clips})
    span = "-".join(map(str, {lengths[0]: 0, lengths[-1]: 0}))
    subtitle = f"{pluralize(len(clips), 'clip')} · {span} frames · time from left to right over each whole clip"
    canvas.text(8, 31, subtitle, size=11, color=MUTED)


def _draw_sign_row(canvas: Canvas, clip: ClipPlot, view: Viewport, top: float, columns: int) -> None:
    subtitle, clip_id = (shorten(t, _LEFT - 16, size=9, keep_end=True) for t in (clip.subtitle, clip.clip_id))
    canvas.text(8, top + _ROW / 2 - 8, subtitle, size=9, anchor="lm")
    canvas.text(8, top + _ROW / 2 + 6, clip_id, size=9, color=MUTED, anchor="lm")
    for column in range(columns):
        frame = int((column + 0.5) * clip.num_frames / columns)
        x = _LEFT + column * _COLUMN
        with canvas.panel(x, top, _COLUMN, _ROW) as panel:
            draw_frame(panel, clip, frame, view)
            panel.text(3, 2, f"t={frame}", size=8, color=MUTED)
        canvas.box(x, top, _COLUMN + 1, _ROW + 1, edge=GRID)
    for number, style in enumerate(style for style in group_styles(clip.skeleton) if style.side):
        draw_bar(canvas, clip, style, left=_LEFT, width=columns * _COLUMN, top=top + _ROW + 2 + 5 * number)
