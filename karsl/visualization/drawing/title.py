"""The first line of a picture: who signs what, in both languages."""

from __future__ import annotations

from karsl.visualization.drawing.canvas import Canvas, shorten, text_width
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import INK

MARGIN = 12  # pixels, at the right


def draw_title(
    canvas: Canvas,
    clip: ClipView,
    *,
    otherwise: str = "clip",
    size: int = 16,
    arabic_size: int = 21,
    top: float = 8,
    gap: int = 16,
) -> float:
    """SignID and English gloss at the left, the Arabic one at the right; returns the pixels across left of that.

    Args:
        otherwise: Instead of a gloss that is not known.
        gap: Pixels to leave free before the Arabic gloss.
    """
    room = float(canvas.width - 2 * MARGIN)
    if clip.arabic:
        canvas.text(canvas.width - MARGIN, top, clip.arabic, size=arabic_size, anchor="ra", arabic=True)
        room -= text_width(clip.arabic, size=arabic_size, arabic=True) + gap
    canvas.text(8, top, shorten(clip.title or otherwise, room, size=size, bold=True), size=size, bold=True, colour=INK)
    return room
