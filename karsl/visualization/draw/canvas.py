"""A drawing surface for lines and text, including Arabic, on Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import missing_extra
from karsl.visualization.draw.palette import INK, PAPER

try:
    from PIL import Image, ImageDraw, ImageFont, features
except ImportError as error:  # pragma: no cover - the test environment has it
    raise missing_extra("viz", "Pillow") from error

__all__ = ["Canvas", "Image", "arabic_problem", "shorten", "text_width"]

FACTOR = 2  # supersampling
_PALE = 0.3  # share of white in a picture, so that lines over it are seen

_LATIN = {
    False: ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf"),
    True: ("DejaVuSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf"),
}
_ARABIC = (
    *("DejaVuSans.ttf", "NotoSansArabic-Regular.ttf", "NotoNaskhArabic-Regular.ttf", "Amiri-Regular.ttf"),
    *("Arial.ttf", "arial.ttf", "tahoma.ttf", "segoeui.ttf", "GeezaPro.ttc", "FreeSans.ttf"),
)
_MEEM, _JOINED_MEEM, _NO_LETTER = "\u0645", "\ufee3", "\U0010fffe"


@dataclass(frozen=True)
class Text:
    """A text to draw. `anchor` as in Pillow: `l m r` horizontally, `a m s` vertically."""

    x: float
    y: float
    text: str
    size: int
    color: str
    bold: bool
    anchor: str
    arabic: bool


class Canvas:
    """Lines, dots, boxes and text; positions in pixels of the final image.

    Lines are supersampled. Text is drawn last, at its final size.

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

    def line(self, start: Any, end: Any, color: str, *, width: float = 1.0) -> None:
        """Draw a straight line."""
        ends = [FACTOR * float(v) for point in (start, end) for v in point]
        self._draw.line(ends, fill=color, width=max(1, round(width * FACTOR)))

    def dashes(self, start: Any, end: Any, color: str) -> None:
        """Draw a thin dashed line."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        count = min(max(1, int(np.linalg.norm(b - a) / 6)), 500)  # one dash and one gap are 6 pixels
        for k in range(count):
            self.line(a + (b - a) * k / count, a + (b - a) * (k + 0.5) / count, color)

    def dot(self, center: Any, radius: float, color: str) -> None:
        """Draw a filled circle."""
        x, y, r = (FACTOR * float(v) for v in (*center, radius))
        self._draw.ellipse([x - r, y - r, x + r, y + r], fill=color)

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: str | None = None, edge: str | None = None
    ) -> None:
        """Draw a rectangle, at least one supersampled pixel in size."""
        right, bottom = max(x + width - 1 / FACTOR, x), max(y + height - 1 / FACTOR, y)
        self._draw.rectangle([FACTOR * v for v in (x, y, right, bottom)], fill=fill, outline=edge, width=FACTOR)

    def picture(self, image: np.ndarray, x: float, y: float, width: float, height: float) -> None:
        """Draw a picture, uint8 (h, w, 3), in a rectangle that may exceed the canvas, paler than it is."""
        rows, columns = image.shape[:2]
        left, top = -x / width * columns, -y / height * rows
        region = (left, top, left + self.width / width * columns, top + self.height / height * rows)
        source, size = Image.fromarray(image), self._image.size
        shown = source.transform(size, Image.Transform.EXTENT, region, Image.Resampling.BILINEAR, fillcolor=PAPER)
        self._image.paste(Image.blend(shown, Image.new("RGB", size, PAPER), _PALE))

    def triangle(self, x: float, y: float, size: float, color: str) -> None:
        """Draw a filled triangle that points up, with its tip at (x, y)."""
        corners = (x, y), (x - size / 2, y + size), (x + size / 2, y + size)
        self._draw.polygon([(FACTOR * a, FACTOR * b) for a, b in corners], fill=color)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: int = 11,
        color: str = INK,
        bold: bool = False,
        anchor: str = "la",
        arabic: bool = False,
    ) -> None:
        """Draw a line of text above everything else. Arabic is omitted if it cannot be drawn."""
        if text and not (arabic and arabic_problem()):
            self._texts.append(Text(x, y, text, size, color, bold, anchor, arabic))

    @contextmanager
    def panel(self, x: float, y: float, width: float, height: float) -> Iterator[Canvas]:
        """Yield a canvas that is pasted here; drawings are clipped to its edges."""
        inner = Canvas(width, height)
        yield inner
        self._image.paste(inner._image, (round(x * FACTOR), round(y * FACTOR)))
        self._texts += [replace(t, x=t.x + x, y=t.y + y) for t in inner._texts]

    def finish(self) -> Any:
        """Return the image, a `PIL.Image.Image` in RGB."""
        image = self._image.reduce(FACTOR)
        draw = ImageDraw.Draw(image)
        for t in self._texts:
            text, options = arabic_run(t.text) if t.arabic else (t.text, {})
            font = arabic_font(t.size) if t.arabic else latin_font(t.size, bold=t.bold)
            draw.text((t.x, t.y), text, font=font, fill=t.color, anchor=t.anchor, **options)
        return image


def text_width(text: str, *, size: int = 11, bold: bool = False, arabic: bool = False) -> float:
    """Return the width of a text in pixels; 0 for Arabic that cannot be drawn."""
    if not arabic:
        return latin_font(size, bold=bold).getlength(text)
    font = arabic_font(size)
    if arabic_problem() or font is None:
        return 0.0
    run, options = arabic_run(text)
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


@cache
def latin_font(size: int, *, bold: bool = False) -> Any:
    """Return a font for Latin text: a known system font, else the default of Pillow."""
    return next(_load_fonts(_LATIN[bold], size), None) or ImageFont.load_default(size)


@cache
def arabic_font(size: int) -> Any | None:
    """Return the first known font that has Arabic letters, or None; see `arabic_problem`."""
    letter = _MEEM if has_raqm() else _JOINED_MEEM
    return next((font for font in _load_fonts(_ARABIC, size) if _has_letter(font, letter)), None)


def arabic_problem() -> str | None:
    """Return why Arabic cannot be drawn and how to fix it, or None if it can."""
    if not has_raqm() and not (find_spec("arabic_reshaper") and find_spec("bidi")):
        return (
            "Arabic glosses are omitted: this Pillow has no text shaping; "
            "pip install 'karsl[viz]' installs arabic-reshaper and python-bidi"
        )
    if arabic_font(12) is None:
        return (
            "Arabic glosses are omitted: no font with Arabic letters was found, such as DejaVuSans.ttf or "
            "NotoSansArabic-Regular.ttf; pip install 'karsl[viz]' installs DejaVu Sans with matplotlib"
        )
    return None


@cache
def has_raqm() -> bool:
    """Return True if Pillow joins Arabic letters itself. Its raqm fails without the system library fribidi."""
    return bool(features.check("raqm") and features.check("fribidi"))


def arabic_run(text: str) -> tuple[str, dict[str, Any]]:
    """Return the text to pass to Pillow, and options for its drawing calls.

    Only one of raqm and arabic-reshaper may process a text: together they reverse it twice.

    Returns:
        With raqm, the text unchanged and right-to-left options; else its joined letters in drawing order.
    """
    if has_raqm():
        return text, {"direction": "rtl", "language": "ar"}
    from arabic_reshaper import reshape  # optional dependency
    from bidi.algorithm import get_display

    return get_display(reshape(text)), {}


def _load_fonts(names: tuple[str, ...], size: int) -> Iterator[Any]:
    layout = ImageFont.Layout.RAQM if has_raqm() else ImageFont.Layout.BASIC
    for name in names:
        for path in (name, *_matplotlib_fonts(name)):
            try:
                yield ImageFont.truetype(path, size, layout_engine=layout)
            except OSError:  # not installed
                continue


def _matplotlib_fonts(name: str) -> list[str]:
    """Find a font in matplotlib, which ships DejaVu, without importing matplotlib."""
    spec = find_spec("matplotlib")
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = [Path(folder, "mpl-data", "fonts", "ttf", name) for folder in folders]
    return [str(file) for file in files if file.is_file()]


def _has_letter(font: Any, letter: str) -> bool:
    """Compare with a code point that no font has: a missing letter is drawn as the same box."""
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))
