"""Many clips on one sheet: a frame of each, for a first look at a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from karsl.visualization.drawing.bars import draw_bar
from karsl.visualization.drawing.canvas import Canvas, shorten, text_width
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import GRID, MUTED, group_styles
from karsl.visualization.drawing.skeleton import draw_skeleton
from karsl.visualization.drawing.viewport import fit

_CELL, _PICTURE, _CAPTION, _TITLE = 196, 172, 62, 40  # pixels: across; down


def overview_sheet(
    clips: Iterable[Mapping[str, Any]],
    *,
    metainfo: Mapping | Sequence[Mapping] | None = None,
    title: str = "",
    columns: int = 6,
) -> Any:
    """A grid of clips: the fullest frame near the middle of each, its gloss, and when each hand is seen.

    Args:
        clips: Results dicts after LoadKeypoints or later, before packing.
        metainfo: The dataset's, for glosses; or one for each clip.
        title: First line.
        columns: Clips beside each other.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        ValueError: There is no clip.
    """
    clips = list(clips)
    about = [metainfo] * len(clips) if metainfo is None or isinstance(metainfo, Mapping) else metainfo
    views = [ClipView.of(results, metainfo=one) for results, one in zip(clips, about, strict=True)]
    if not views:
        raise ValueError("overview_sheet was given no clips; check the filter or the range that chose them")
    columns = max(1, min(columns, len(views)))
    rows = -(-len(views) // columns)
    canvas = Canvas(columns * _CELL + 1, _TITLE + rows * (_PICTURE + _CAPTION) + 1)
    canvas.text(8, 12, shorten(title or f"{len(views)} clips", canvas.width - 16, size=14, bold=True), size=14, bold=True)
    for place, clip in enumerate(views):
        x, y = place % columns * _CELL, _TITLE + place // columns * (_PICTURE + _CAPTION)
        _cell(canvas, clip, x, y)
    return canvas.finish()


def _cell(canvas: Canvas, clip: ClipView, x: float, y: float) -> None:
    frame = clip.best_frame()
    with canvas.panel(x, y, _CELL, _PICTURE) as panel:
        if np.isfinite(clip.points[frame]).any():
            view = fit(clip.framed(), (_CELL, _PICTURE), pad=10)
            draw_skeleton(panel, view.to_pixels(clip.points[frame]), clip.skeleton, zoom=1.15)
        else:
            panel.text(_CELL / 2, _PICTURE / 2, "missing", size=11, colour=MUTED, anchor="mm")
    _hand_bars(canvas, clip, x + 8, y + _PICTURE - 2)
    room: float = _CELL - 16
    if clip.arabic:
        canvas.text(x + _CELL - 8, y + _PICTURE + 8, clip.arabic, size=14, anchor="ra", arabic=True)
        room -= text_width(clip.arabic, size=14, arabic=True) + 6
    canvas.text(x + 8, y + _PICTURE + 10, shorten(clip.title, room, size=11, bold=True), size=11, bold=True)
    facts = f"{clip.facts} · t={frame}"
    canvas.text(x + 8, y + _PICTURE + 29, shorten(facts, _CELL - 16, size=9), size=9, colour=MUTED)
    clip_id = shorten(clip.clip_id, _CELL - 16, size=9, keep_end=True)
    canvas.text(x + 8, y + _PICTURE + 43, clip_id, size=9, colour=MUTED)
    canvas.box(x, y, _CELL + 1, _PICTURE + _CAPTION + 1, edge=GRID)


def _hand_bars(canvas: Canvas, clip: ClipView, x: float, y: float) -> None:
    hands = [style for style in group_styles(clip.skeleton) if style.side]
    width = (_CELL - 16 - 4 * (len(hands) - 1)) / max(len(hands), 1)
    for style in hands:
        draw_bar(canvas, clip, style, left=x, width=width, top=y)
        x += width + 4
