"""The served page in headless Chromium: content policy, clips on request."""

from __future__ import annotations

from threading import Thread
from urllib.parse import urlsplit

import pytest

from karsl.datasets import KArSLDataset
from karsl.testing import make_corpus
from karsl.visualization.server import ClipServer, ClipServerState

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "RandomFlip", "prob": 1.0}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = make_corpus(tmp_path_factory.mktemp("served"), signs=4, signers=("01",), train_clips=3, test_clips=1)
    dataset = KArSLDataset(data_root=str(root), pipeline=PIPELINE, seed=0, index_cache=None)
    with ClipServer(ClipServerState(dataset, source="corpus", augmentations=2)) as server:
        (root / "01-train" / "0004.npz").unlink()  # clips deleted while they are served
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def open_page(window, server):
    """`open_page(place='', **options)`: a window with the page; fails at the end if it has errors."""
    return lambda place="", **options: window(**options).open(server.url, place)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_opens_with_three_requests_and_no_errors(open_page, server, scheme):
    opened = open_page(color_scheme=scheme)
    paths = [urlsplit(url).path for url in opened.requests]
    assert [path.rpartition("/")[0] for path in paths] == ["", "", "/clips"]
    assert {urlsplit(url).netloc for url in opened.requests} == {urlsplit(server.url).netloc}
    assert opened.errors == []
    assert opened.page.inner_text("#count") == "16 of 16 clips · 4 signs"
    assert opened.colors("#panels canvas") > 20


def test_search_in_arabic_and_click_open_the_clip(open_page):
    opened = open_page()
    opened.page.fill("#search", "شكرا")
    opened.page.locator("#list [role=option]").nth(1).click()
    opened.page.locator("#main-area", has_text="thanks").wait_for()
    assert sum("/clips/" in url for url in opened.requests) == 2
    assert opened.errors == []


def test_link_opens_its_clip_and_stage(open_page, server):
    link = list(server.state.links)[6]
    opened = open_page(f"#clip={link}&stage=2")
    assert [url.rpartition("/")[2] for url in opened.requests if "/clips/" in url] == [f"{link}.json"]
    assert "RandomFlip" in opened.page.inner_text("#main-area")


def test_unreadable_clip_is_reported_in_the_page(open_page, server):
    link = next(link for link in server.state.links if "train-0004" in link)
    opened = open_page(f"#clip={link}")
    opened.page.locator("#main-area", has_text="LoadKeypoints").wait_for()
    assert "0004.npz" in opened.page.inner_text("#main-area")
    (error,) = opened.errors  # the browser logs the response
    assert "500" in error
    opened.errors.clear()
