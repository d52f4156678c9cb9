"""A drawing surface in logical pixels: lines are drawn larger and reduced, text is drawn last at its final size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.visualization.drawing import fonts
from karsl.visualization.drawing.palette import INK, PAPER
from karsl.visualization.drawing.pillow import Image, ImageDraw

FACTOR = 2  # supersampling


@dataclass(frozen=True)
class Text:
    """A text to draw; `anchor` as in Pillow: `l m r` across, `a m s` down."""

    x: float
    y: float
    text: str
    size: int
    colour: str
    bold: bool
    anchor: str
    arabic: bool


class Canvas:
    """Lines, dots, boxes and text; positions in pixels of the final picture.

    Example:
        >>> canvas = Canvas(40, 20)
        >>> canvas.line((2, 10), (38, 10), "#000000", width=2)
        >>> canvas.finish().getpixel((20, 10))
        (0, 0, 0)
    """

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        self._image = Image.new("RGB", (self.width * FACTOR, self.height * FACTOR), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._texts: list[Text] = []

    def line(self, start: Any, end: Any, colour: str, *, width: float = 1.0) -> None:
        """A straight line."""
        ends = [FACTOR * float(v) for point in (start, end) for v in point]
        self._draw.line(ends, fill=colour, width=max(1, round(width * FACTOR)))

    def dashes(self, start: Any, end: Any, colour: str, *, width: float = 1.0, dash: float = 3.0) -> None:
        """A dashed line."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        count = min(max(1, int(np.linalg.norm(b - a) / (2 * dash))), 500)
        for k in range(count):
            self.line(a + (b - a) * k / count, a + (b - a) * (k + 0.5) / count, colour, width=width)

    def dot(self, centre: Any, radius: float, colour: str) -> None:
        """A filled circle."""
        x, y, r = (FACTOR * float(v) for v in (*centre, radius))
        self._draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: str | None = None, edge: str | None = None
    ) -> None:
        """A rectangle; at least one fine pixel in size."""
        right, bottom = max(x + width - 1 / FACTOR, x), max(y + height - 1 / FACTOR, y)
        self._draw.rectangle([FACTOR * v for v in (x, y, right, bottom)], fill=fill, outline=edge, width=FACTOR)

    def triangle(self, x: float, y: float, size: float, colour: str) -> None:
        """A filled triangle whose tip is at (x, y) and points up."""
        corners = (x, y), (x - size / 2, y + size), (x + size / 2, y + size)
        self._draw.polygon([(FACTOR * a, FACTOR * b) for a, b in corners], fill=colour)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 11,
        colour: str = INK,
        bold: bool = False,
        anchor: str = "la",
        arabic: bool = False,
    ) -> None:
        """A line of text, above everything else; Arabic is left out where it cannot be drawn."""
        if text and not (arabic and fonts.arabic_problem()):
            self._texts.append(Text(x, y, text, size, colour, bold, anchor, arabic))

    @contextmanager
    def panel(self, x: float, y: float, width: float, height: float) -> Iterator[Canvas]:
        """A canvas of its own inside this one: what is drawn beyond its edges is cut off."""
        inner = Canvas(width, height)
        yield inner
        self._image.paste(inner._image, (round(x * FACTOR), round(y * FACTOR)))
        for t in inner._texts:
            self._texts.append(Text(t.x + x, t.y + y, t.text, t.size, t.colour, t.bold, t.anchor, t.arabic))

    def finish(self) -> Any:
        """The picture, a `PIL.Image.Image` in RGB."""
        image = self._image.reduce(FACTOR)
        draw = ImageDraw.Draw(image)
        for t in self._texts:
            text, options = fonts.arabic_run(t.text) if t.arabic else (t.text, {})
            font = fonts.arabic_font(t.size) if t.arabic else fonts.latin_font(t.size, bold=t.bold)
            draw.text((t.x, t.y), text, font=font, fill=t.colour, anchor=t.anchor, **options)
        return image


def text_width(text: str, *, size: int = 11, bold: bool = False, arabic: bool = False) -> float:
    """Pixels that a text takes across; 0 for Arabic that cannot be drawn."""
    if not arabic:
        return fonts.latin_font(size, bold=bold).getlength(text)
    font = fonts.arabic_font(size)
    if fonts.arabic_problem() or font is None:
        return 0.0
    run, options = fonts.arabic_run(text)
    return font.getlength(run, **options)


def shorten(text: str, width: float, *, size: int = 11, bold: bool = False, keep_end: bool = False) -> str:
    """Cut a Latin text to a width, with an ellipsis at its end, or at its start with `keep_end`.

    Example:
        >>> shorten("short", 500), shorten("much too long for this", 60).endswith("…")
        ('short', True)
    """
    if text_width(text, size=size, bold=bold) <= width:
        return text
    while text and text_width(text + "…", size=size, bold=bold) > width:
        text = text[1:] if keep_end else text[:-1]
    return "…" + text.lstrip() if keep_end else text.rstrip() + "…"
