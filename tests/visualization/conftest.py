"""Clips to draw, a realistic body with missing hands; and a browser window."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path

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


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of the Chromium of this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed (apt-get install chromium): browser tests are skipped")
    return found


@pytest.fixture(scope="module")
def browser(chromium_path):
    """Headless Chromium; its driver runs an event loop, which must not outlive the module."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: browser tests are skipped")
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"], timeout=300_000)
        yield chromium
        chromium.close()


class Window:
    """A window that records requests and errors."""

    def __init__(self, browser, **options) -> None:
        options = {"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options}
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(120_000)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "console", lambda output: self.errors.append(output.text) if output.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, page: Path | str, place: str = "") -> Window:
        """Open a file or an address, and wait until the first clip is shown."""
        self.page.goto((page if isinstance(page, str) else page.as_uri()) + place)
        self.page.wait_for_selector("html[data-ready=yes]")
        return self

    def titles(self) -> list[str]:
        """Titles in the list, from top to bottom."""
        self.rest()
        lines = self.page.locator("#list [role=option]")
        return [
            t for _, t in sorted((int(x.get_attribute("aria-posinset")), x.locator("b").inner_text()) for x in lines.all())
        ]

    def rest(self) -> None:
        """Wait until what was asked for is drawn: a frame is drawn when the next picture is due."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def counter(self) -> str:
        """Frame and length, as written next to the scrubber."""
        self.rest()
        return self.page.inner_text(".counter")

    def picture(self, selector: str = "#panels canvas") -> bytes:
        """The first element of this kind, as PNG."""
        self.rest()
        return self.page.locator(selector).first.screenshot()

    def colors(self, selector: str) -> int:
        """How many colors a picture of an element has: 1 or 2 is a blank one."""
        from PIL import Image  # optional dependency

        shot = Image.open(BytesIO(self.picture(selector))).convert("RGB")
        return len(shot.getcolors(1 << 24))


@pytest.fixture
def window(browser):
    """`window(**options)`: a new window; fails at the end if one has errors."""
    opened = []

    def make(**options) -> Window:
        opened.append(Window(browser, **options))
        return opened[-1]

    yield make
    errors = [text for one in opened for text in one.errors]
    for one in opened:
        one.context.close()
    assert errors == []
