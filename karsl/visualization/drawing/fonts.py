"""Fonts for Latin and Arabic text, and Arabic letters joined and ordered whatever Pillow was built with."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from karsl.visualization.drawing.pillow import ImageFont, features

_LATIN = {
    False: ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf"),
    True: ("DejaVuSans-Bold.ttf", "Arial Bold.ttf", "arialbd.ttf"),
}
_ARABIC = (
    *("DejaVuSans.ttf", "NotoSansArabic-Regular.ttf", "NotoNaskhArabic-Regular.ttf", "Amiri-Regular.ttf"),
    *("Arial.ttf", "arial.ttf", "tahoma.ttf", "segoeui.ttf", "GeezaPro.ttc", "FreeSans.ttf"),
)
_MEEM, _JOINED_MEEM, _NO_LETTER = "\u0645", "\ufee3", "\U0010fffe"


@cache
def latin_font(size: int, *, bold: bool = False) -> Any:
    """A font for Latin text; Pillow's own where the system has none we know."""
    return next(_loaded(_LATIN[bold], size), None) or ImageFont.load_default(size)


@cache
def arabic_font(size: int) -> Any | None:
    """The first font found that has Arabic letters, or None; see `arabic_problem`."""
    letter = _MEEM if has_raqm() else _JOINED_MEEM
    return next((font for font in _loaded(_ARABIC, size) if _has_letter(font, letter)), None)


def arabic_problem() -> str | None:
    """Why Arabic cannot be drawn here and what to do, or None where it can."""
    if not has_raqm() and not (find_spec("arabic_reshaper") and find_spec("bidi")):
        return (
            "Arabic glosses are left out: this Pillow has no text shaping; "
            "pip install 'karsl[viz]' brings arabic-reshaper and python-bidi"
        )
    if arabic_font(12) is None:
        return (
            "Arabic glosses are left out: no font with Arabic letters was found, such as DejaVuSans.ttf or "
            "NotoSansArabic-Regular.ttf; pip install 'karsl[viz]' brings DejaVu Sans with matplotlib"
        )
    return None


@cache
def has_raqm() -> bool:
    """Whether Pillow joins Arabic letters itself; its raqm raises without the system's fribidi."""
    return bool(features.check("raqm") and features.check("fribidi"))


def arabic_run(text: str) -> tuple[str, dict[str, Any]]:
    """Text to hand to Pillow, and options for its drawing calls.

    Only one of raqm and arabic-reshaper may work on a text: together they reverse it twice.

    Returns:
        The text as it is and right-to-left options with raqm, else its joined letters in the order of drawing.
    """
    if has_raqm():
        return text, {"direction": "rtl", "language": "ar"}
    from arabic_reshaper import reshape  # an optional extra
    from bidi.algorithm import get_display

    return get_display(reshape(text)), {}


def _loaded(names: tuple[str, ...], size: int) -> Iterator[Any]:
    layout = ImageFont.Layout.RAQM if has_raqm() else ImageFont.Layout.BASIC
    for name in names:
        for place in (name, *_matplotlib_files(name)):
            try:
                yield ImageFont.truetype(place, size, layout_engine=layout)
            except OSError:  # not on this machine
                continue


def _matplotlib_files(name: str) -> list[str]:
    """matplotlib ships DejaVu; its folder is found without importing it."""
    spec = find_spec("matplotlib")
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = [Path(folder, "mpl-data", "fonts", "ttf", name) for folder in folders]
    return [str(file) for file in files if file.is_file()]


def _has_letter(font: Any, letter: str) -> bool:
    """A font draws one and the same box for every letter that it lacks."""
    return bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))
