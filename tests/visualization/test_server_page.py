"""The served page in headless Chromium: content policy, clips on request."""

from __future__ import annotations

from io import BytesIO
from threading import Thread
from urllib.parse import urlsplit

import pytest

from karsl.datasets import KArSLDataset
from karsl.testing import make_corpus
from karsl.visualization.draw.canvas import Image
from karsl.visualization.server import ClipServer, ClipServerState

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "RandomFlip", "prob": 1.0}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = make_corpus(tmp_path_factory.mktemp("served"), signs=4, signers=("01",), train_clips=3, test_clips=1)
    (root / "01-train" / "0004.npz").write_bytes((root / "01-train" / "0003.npz").read_bytes())
    dataset = KArSLDataset(data_root=str(root), pipeline=PIPELINE, seed=0, index_cache=None)
    with ClipServer(ClipServerState(dataset, source="corpus", augmentations=2)) as server:
        (root / "01-train" / "0004.npz").unlink()  # clips deleted while they are served
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def open_page(browser, server):
    """`open_page(place='', scheme='light')`: the page; `.requests` and `.errors` of it."""
    contexts = []

    def open_it(place: str = "", scheme: str = "light"):
        contexts.append(
            browser.new_context(viewport={"width": 1200, "height": 760}, color_scheme=scheme, reduced_motion="reduce")
        )
        contexts[-1].set_default_timeout(120_000)
        page = contexts[-1].new_page()
        page.requests, page.errors = [], []
        page.on("request", lambda request: page.requests.append(request.url))
        page.on("console", lambda output: page.errors.append(output.text) if output.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(server.url + place)
        page.wait_for_selector("html[data-ready=yes]")
        return page

    yield open_it
    for context in contexts:
        context.close()


def colors(page, selector: str) -> int:
    return len(Image.open(BytesIO(page.locator(selector).first.screenshot())).convert("RGB").getcolors(1 << 24))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_with_three_requests_and_no_errors(open_page, server, scheme):
    page = open_page(scheme=scheme)
    paths = [urlsplit(url).path for url in page.requests]
    assert [path.rpartition("/")[0] for path in paths] == ["", "", "/clips"]
    assert {urlsplit(url).netloc for url in page.requests} == {urlsplit(server.url).netloc}
    assert page.errors == []
    assert page.inner_text("#count") == "16 of 16 clips · 4 signs"
    assert colors(page, "#panels canvas") > 20


def test_search_in_arabic_and_click_open_the_clip(open_page):
    page = open_page()
    page.fill("#search", "شكرا")
    page.locator("#list [role=option]").nth(1).click()
    page.locator("#main-area", has_text="thanks").wait_for()
    assert sum("/clips/" in url for url in page.requests) == 2
    assert page.errors == []


def test_link_opens_its_clip_and_stage(open_page, server):
    link = list(server.state.links)[6]
    page = open_page(f"#clip={link}&stage=2")
    assert [url.rpartition("/")[2] for url in page.requests if "/clips/" in url] == [f"{link}.json"]
    assert "RandomFlip" in page.inner_text("#main-area")


def test_unreadable_clip_is_reported_in_the_page(open_page, server):
    link = next(link for link in server.state.links if "train-0004" in link)
    page = open_page(f"#clip={link}")
    page.locator("#main-area", has_text="LoadKeypoints").wait_for()
    assert "0004.npz" in page.inner_text("#main-area")
