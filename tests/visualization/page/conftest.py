"""Clips of a synthetic corpus through a pipeline, and a browser window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from karsl.datasets import KArSLDataset
from karsl.visualization.clips.select import clip_stages, select_clips
from karsl.visualization.page import PageClip, PageStage, write_page

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=16),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomAffine"),
    dict(type="CenterScale"),
]


def wrong_flip(stage: PageStage) -> PageStage:
    """The known bug: x mirrored and hands swapped, arms and face not."""
    right, left = stage.skeleton.groups["rh"], stage.skeleton.groups["lh"]
    mirrored = stage.points * [-1, 1] + [1, 0]
    points = mirrored.copy()
    points[:, right], points[:, left] = mirrored[:, left], mirrored[:, right]
    return PageStage("WrongFlip", points, stage.skeleton, stage.frame_inds)


@pytest.fixture(name="wrong_flip")
def _wrong_flip():
    return wrong_flip


def make_clips(root, pipeline=PIPELINE, *, count: int = 12, augmentations: int = 2) -> list[PageClip]:
    """Clips spread over the corpus, each with its stages and augmented views."""
    dataset = KArSLDataset(data_root=str(root), pipeline=pipeline, seed=0)
    clips = []
    for clip in select_clips(dataset, count=count, seed=1):
        dataset.set_epoch(0, seed=0)
        stages, others = clip_stages(clip), []
        for epoch in range(1, augmentations + 1):
            dataset.set_epoch(epoch, seed=0)
            others.append(clip_stages(clip)[-1][1])
        clips.append(PageClip.from_stages(stages, metainfo=dataset.metainfo, augmentations=others))
    return clips


@pytest.fixture(scope="session")
def page_clips(corpus) -> list[PageClip]:
    """12 clips of 4 signs; do not modify."""
    return make_clips(corpus)


@pytest.fixture
def clips_through(corpus):
    """`clips_through(pipeline)`: clips of the corpus through another pipeline."""
    return lambda pipeline, count=3: make_clips(corpus, pipeline, count=count, augmentations=0)


@pytest.fixture(scope="session")
def planted(page_clips) -> PageClip:
    """A clip with both hands, wrongly flipped after sampling."""
    clip = next(c for c in page_clips if np.isfinite(c.stages[0].points[:, [142, 163]]).all((1, 2)).any())
    first, sampled, *_ = clip.stages
    return replace(clip, stages=(first, sampled, wrong_flip(sampled)), augmentations=(), clip_id="planted", link="planted")


@pytest.fixture(scope="session")
def page_file(page_clips, planted, tmp_path_factory):
    """A page of the clips and the wrongly flipped one."""
    path = tmp_path_factory.mktemp("page") / "browse.html"
    write_page(path, [*page_clips, planted], title="a <title> & more", metadata={"config": "</script><b>x</b>"})
    return path


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

    def open(self, path, place: str = "") -> Window:
        """Open a file, and wait until its first clip can be seen."""
        self.page.goto(path.as_uri() + place)
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
        from io import BytesIO

        from PIL import Image

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
