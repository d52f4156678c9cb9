"""Many clips of one sign on one sheet, a row each: who signs it how, and which clip does not belong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from karsl.visualization.drawing.bars import draw_bar
from karsl.visualization.drawing.canvas import Canvas, shorten
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import GRID, MUTED, group_styles
from karsl.visualization.drawing.skeleton import draw_skeleton
from karsl.visualization.drawing.title import MARGIN, draw_title
from karsl.visualization.drawing.viewport import Viewport, fit

_LEFT, _COLUMN, _ROW, _BARS, _TITLE = 150, 112, 112, 14, 54  # pixels


def sign_sheet(
    clips: Sequence[Mapping[str, Any]], *, metainfo: Mapping | Sequence[Mapping] | None = None, columns: int = 9
) -> Any:
    """Clips of one sign below each other, at the same share of their lengths in each column, all in one scale.

    Args:
        clips: Results dicts after LoadKeypoints or later, before packing.
        metainfo: The dataset's, for glosses; or one for each clip.
        columns: Frames of each clip.

    Returns:
        A `PIL.Image.Image` in RGB.

    Raises:
        ValueError: There is no clip.
    """
    about = [metainfo] * len(clips) if metainfo is None or isinstance(metainfo, Mapping) else metainfo
    views = [ClipView.of(results, metainfo=one) for results, one in zip(clips, about, strict=True)]
    if not views:
        raise ValueError("sign_sheet was given no clips; check the filter that chose them")
    canvas = Canvas(_LEFT + columns * _COLUMN + MARGIN, _TITLE + len(views) * (_ROW + _BARS) + 8)
    _title(canvas, views)
    size = (_COLUMN, _ROW)
    frames = [fit(clip.framed(), size) for clip in views]
    usual = float(np.median([view.scale for view in frames]))
    alike = [usual / 2 < view.scale < usual * 2 for view in frames]
    scale = min((view.scale for view, same in zip(frames, alike, strict=True) if same), default=usual)
    for number, (clip, view, same) in enumerate(zip(views, frames, alike, strict=True)):
        shown = Viewport(view.centre, scale, size) if same else view
        _row(canvas, clip, shown, _TITLE + number * (_ROW + _BARS), columns)
    return canvas.finish()


def _title(canvas: Canvas, views: Sequence[ClipView]) -> None:
    draw_title(canvas, views[0], otherwise="clips")
    lengths = sorted({clip.num_frames for clip in views})
    span = "-".join(map(str, {lengths[0]: 0, lengths[-1]: 0}))
    facts = f"{len(views)} clips · {span} frames · time runs from left to right over each whole clip"
    canvas.text(8, 31, facts, size=11, colour=MUTED)


def _row(canvas: Canvas, clip: ClipView, view: Viewport, top: float, columns: int) -> None:
    facts, clip_id = (shorten(t, _LEFT - 16, size=9, keep_end=True) for t in (clip.facts, clip.clip_id))
    canvas.text(8, top + _ROW / 2 - 8, facts, size=9, anchor="lm")
    canvas.text(8, top + _ROW / 2 + 6, clip_id, size=9, colour=MUTED, anchor="lm")
    for column in range(columns):
        frame = int((column + 0.5) * clip.num_frames / columns)
        x = _LEFT + column * _COLUMN
        with canvas.panel(x, top, _COLUMN, _ROW) as panel:
            if np.isfinite(clip.points[frame]).all(-1).any():
                draw_skeleton(panel, view.to_pixels(clip.points[frame]), clip.skeleton)
            else:
                panel.text(_COLUMN / 2, _ROW / 2, "missing", size=10, colour="#a8b1bd", anchor="mm")
            panel.text(3, 2, f"t={frame}", size=8, colour=MUTED)
        canvas.box(x, top, _COLUMN + 1, _ROW + 1, edge=GRID)
    for number, style in enumerate(style for style in group_styles(clip.skeleton) if style.side):
        draw_bar(canvas, clip, style, left=_LEFT, width=columns * _COLUMN, top=top + _ROW + 2 + 5 * number)
