"""Fonts: Arabic is shaped once, with any available library, or the missing one is reported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from karsl.visualization.draw import canvas
from karsl.visualization.draw.canvas import Canvas, text_width

HELLO = "مرحبا"


@pytest.fixture
def fresh_fonts():
    """Clear the font caches before and after a test that changes the fonts."""
    caches = (canvas.latin_font, canvas.arabic_font, canvas.has_raqm)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.fixture
def without_raqm(monkeypatch, fresh_fonts):
    """A Pillow that does not shape text."""
    monkeypatch.setattr(canvas.features, "check", lambda name: False)


def ink(text: str) -> np.ndarray:
    picture = Canvas(160, 50)
    picture.text(150, 10, text, size=24, anchor="ra", arabic=True)
    return np.asarray(picture.finish())[..., 0] < 128


needs_arabic = pytest.mark.skipif(canvas.arabic_problem() is not None, reason="no font with Arabic letters here")


@needs_arabic
def test_letters_are_joined():
    alone = sum(text_width(letter, size=24, arabic=True) for letter in HELLO)
    assert 0 < text_width(HELLO, size=24, arabic=True) < 0.9 * alone


@needs_arabic
def test_without_raqm_the_reshaper_draws_the_same_word(monkeypatch, request):
    with_raqm = ink(HELLO) if canvas.has_raqm() else None
    request.getfixturevalue("without_raqm")
    text, options = canvas.arabic_run(HELLO)
    assert options == {}
    assert text[-1] == "\ufee3"  # the first letter, in its joined form, is drawn last: at the right
    if with_raqm is not None:
        assert (ink(HELLO) == with_raqm).mean() > 0.97


@needs_arabic
def test_raqm_receives_the_text_unchanged():
    if not canvas.has_raqm():
        pytest.skip("this Pillow has no raqm")
    assert canvas.arabic_run(HELLO) == (HELLO, {"direction": "rtl", "language": "ar"})


def test_missing_arabic_font_is_reported(monkeypatch, fresh_fonts):
    monkeypatch.setattr(canvas, "_ARABIC", ("NoSuchFont.ttf",))
    assert "DejaVuSans.ttf" in canvas.arabic_problem()
    assert not ink(HELLO).any()
    assert text_width(HELLO, arabic=True) == 0


def test_font_without_arabic_letters_is_not_used(fresh_fonts):
    latin_only = canvas.ImageFont.load_default(20)
    assert not canvas._has_letter(latin_only, "\u0645")


def test_latin_is_drawn_without_any_font(monkeypatch, fresh_fonts):
    monkeypatch.setattr(canvas, "_LATIN", {False: (), True: ()})
    assert canvas.latin_font(12).getlength("hello") > 10


def run_without_fonts(code: str) -> str:
    """Return the output of a process without font folders."""
    bare = {**os.environ, "XDG_DATA_DIRS": "/nowhere", "XDG_DATA_HOME": "/nowhere", "HOME": "/nowhere"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=bare)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="font folders are specific to Linux")
def test_without_fonts_those_of_the_extra_are_used_or_reported():
    code = "from karsl.visualization import arabic_problem; print(arabic_problem())"
    output = run_without_fonts(f"import sys; sys.modules['matplotlib'] = None; {code}")
    assert "NotoSansArabic-Regular.ttf; pip install 'karsl[viz]'" in output
    if find_spec("matplotlib"):
        assert run_without_fonts(code) == "None"
