"""Clips to draw: a realistic body with missing hands."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from karsl.skeletons import get_skeleton
from karsl.testing.performance import make_signer, render_sign
from karsl.testing.signs import make_signs


@pytest.fixture
def results() -> dict:
    """A clip of two hands as after LoadKeypoints: the right hand is missing in its first 10 frames."""
    sign = next(s for s in make_signs(0) if s.other == "base")
    keypoint = render_sign(sign, make_signer("01", 0), np.random.default_rng(1)).keypoint.astype(np.float32)
    skeleton = get_skeleton("karsl_184")
    score = np.ones(keypoint.shape[:2], np.float32)
    score[:10, skeleton.groups["rh"]] = 0
    keypoint[score == 0] = np.nan
    return {
        "keypoint": keypoint,
        "keypoint_score": score,
        "skeleton": skeleton,
        "num_frames": len(keypoint),
        "total_frames": len(keypoint),
        "clip_id": "01-train/0002/a",
        "label": 1,
        "sign": 2,
        "signer": "01",
        "split": "train",
    }


@pytest.fixture
def metainfo() -> dict:
    """Two glosses in both languages."""
    return {"classes": ("hello", "thanks"), "classes_ar": ("مرحبا", "شكرا")}


def count_color(image, color: str, *, box: tuple[int, int, int, int] | None = None, near: int = 12) -> int:
    """Pixels within `near` of a color in each channel, inside `box` (left, top, right, bottom)."""
    pixels = np.asarray(image.crop(box) if box else image).astype(int)
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(pixels - wanted).max(-1) <= near).sum())


@pytest.fixture(name="count_color")
def _count_color():
    return count_color


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of this machine; its driver runs an event loop, which must not outlive the module."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium): the page is not driven")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page is not driven")
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=300_000)
        yield chromium
        chromium.close()
