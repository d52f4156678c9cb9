"""The page of `karsl report` in headless Chromium: matrix, search, orders, clips of a cell, both themes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from karsl.evaluation import compare, evaluate
from karsl.evaluation.report import clip_columns, confusion
from karsl.evaluation.statistics import cluster_order
from karsl.visualization.page import PageClip, PageStage, write_page
from karsl.visualization.report import write_report
from tests.evaluation.score_files import make_scores

# class 0 is classified as 3 once, class 3 as 0 twice; the others are recognized
LABELS = [0, 0, 1, 2, 3, 3, 3]
PREDICTED = [0, 3, 1, 2, 0, 0, 3]


def model(scores) -> dict:
    cluster = cluster_order(confusion(scores)).tolist()
    return {"report": evaluate(scores, resamples=20), "clips": clip_columns(scores), "cluster": cluster}


@pytest.fixture(scope="module")
def scores():
    names = np.array([f"01-test/0001/clip {n}" for n in range(len(LABELS))])
    return make_scores(np.eye(4)[PREDICTED], LABELS, clip_id=names, path="</script>.npz")


@pytest.fixture(scope="module")
def report_file(scores, tmp_path_factory):
    """A report of two models, next to the browse page of their clips."""
    folder = tmp_path_factory.mktemp("report")
    better = replace(scores, scores=np.eye(4, dtype=np.float32)[LABELS], path="better.npz")
    comparisons = [compare(scores, better, resamples=20)]
    write_report(folder / "report.html", [model(scores), model(better)], comparisons=comparisons, browse="browse.html")
    return folder / "report.html"


@pytest.fixture
def opened(window, report_file):
    return window().open(report_file)


def cell_text(page) -> str:
    return " ".join(page.inner_text("#cell").split())


def test_the_page_opens_from_a_file_without_requests(opened, report_file):
    assert opened.requests == [report_file.as_uri()]
    assert opened.page.locator(".tile b").first.inner_text() == "57.1 %"
    assert opened.page.inner_text("#count") == "7 clips · 4 classes"
    assert opened.colors("#matrix") > 20
    assert "paired 95 % intervals" in opened.page.inner_text("#cards")


def test_a_cell_opens_its_clips_in_the_browse_page(opened, scores, report_file, arms):
    points, skeleton = arms
    clips = [PageClip(str(name), [PageStage("LoadKeypoints", points, skeleton)]) for name in scores.clip_id]
    write_page(report_file.with_name("browse.html"), clips)
    page = opened.page
    page.locator("#cards button", has_text="d").first.click()  # the pair that is confused most often
    assert cell_text(page) == "0004 d لا classified as 0001 a مرحبا: 2 clips of 3 (67%)"
    links = page.locator("#cell-clips a")
    assert links.all_inner_texts() == ["01-test/0001/clip 4", "01-test/0001/clip 5"]
    with page.context.expect_page() as popup:
        links.nth(1).click()
    clip = popup.value
    clip.wait_for_selector("html[data-ready=yes]")
    assert "01-test/0001/clip 5" in clip.inner_text("#clip-metadata")


def test_the_address_of_the_browse_page_can_be_changed(opened):
    page = opened.page
    page.locator("#cards button", has_text="d").first.click()
    page.fill("#browse", "http://127.0.0.1:8123/")
    assert page.get_attribute("#cell-clips a", "href").startswith("http://127.0.0.1:8123/#clip=01-test-0001-clip-4-")
    page.fill("#browse", "javascript:alert(1)")
    assert page.locator("#cell-clips a").count() == 0
    assert page.locator("#cell-clips li").count() == 2


def test_keys_step_zoom_and_fit(opened):
    page = opened.page
    page.focus("#matrix")
    before = opened.picture("#matrix")
    page.keyboard.press("ArrowRight")
    assert cell_text(page) == "0001 a مرحبا recognized: 1 clip of 2 (50%)"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert cell_text(page) == "0001 a مرحبا classified as 0004 d لا: 1 clip of 2 (50%)"
    assert "true 0001 a" in page.get_attribute("#matrix", "aria-label")
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert opened.picture("#matrix") != before


def test_a_click_selects_the_cell_below_the_pointer_in_every_order(opened):
    page = opened.page
    page.select_option("[aria-label=Order]", "cluster")  # 0 and 3 are neighbors: 0, 3, 1, 2
    page.locator("#matrix").click(position={"x": 210 + 56 * 0.5, "y": 150 + 56 * 1.5})
    assert cell_text(page).startswith("0004 d لا classified as 0001 a")
    page.select_option("[aria-label=Order]", "recall")  # 3 (1 of 3), 0 (1 of 2), 1, 2
    page.locator("#matrix").click(position={"x": 210 + 56 * 0.5, "y": 150 + 56 * 1.5})
    assert cell_text(page).startswith("0001 a مرحبا classified as 0004 d")


def test_classes_are_found_in_both_languages(opened):
    page = opened.page
    page.fill("#search", "نعم")
    assert page.inner_text("#found") == "1 class"
    page.keyboard.press("Enter")
    assert cell_text(page).startswith("0003 c نعم recognized")
    page.fill("#search", "4")
    page.keyboard.press("Enter")
    assert cell_text(page).startswith("0004 d")
    page.fill("#search", "nothing")
    assert page.inner_text("#found") == "0 classes"


def test_flags_and_the_other_model_change_the_picture(opened):
    page = opened.page
    first = opened.picture("#matrix")
    page.click("text=Recognized clips")
    second = opened.picture("#matrix")
    assert second != first
    page.click("text=Shares")
    assert opened.picture("#matrix") != second
    page.select_option("[aria-label=Model]", "1")
    assert page.locator(".tile b").first.inner_text() == "100.0 %"


def test_the_picture_is_saved(opened, tmp_path):
    with opened.page.expect_download() as download:
        opened.page.click("text=Save picture")
    download.value.save_as(tmp_path / "matrix.png")
    assert (tmp_path / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert download.value.suggested_filename == "confusion.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_draw(window, report_file, scheme):
    opened = window(color_scheme=scheme).open(report_file)
    first = opened.picture("#matrix")
    opened.page.click("#theme")
    assert opened.picture("#matrix") != first
    assert opened.colors("#matrix") > 20


def test_502_classes_are_drawn_searched_and_zoomed(window, tmp_path):
    labels = np.repeat(np.arange(502), 2)
    predicted = np.where(np.arange(1004) % 7 == 0, (labels + 5) % 502, labels)
    signs = np.arange(1, 503)
    large = make_scores(np.eye(502)[predicted], labels, classes=np.array([f"word {k}" for k in signs]), signs=signs)
    write_report(tmp_path / "large.html", [model(large)])
    opened = window().open(tmp_path / "large.html")
    page = opened.page
    assert opened.colors("#matrix") > 20
    page.fill("#search", "word 77")
    page.keyboard.press("Enter")
    assert cell_text(page).startswith("0077 word 77")
    assert opened.colors("#matrix") > 20
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_narrow_windows_do_not_scroll_sideways(window, report_file):
    page = window(viewport={"width": 400, "height": 800}).open(report_file).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_every_control_has_a_name(opened):
    unnamed = opened.page.evaluate("""[...document.querySelectorAll('button, select, input, a[href], [role=img]')]
        .filter((node) => node.getClientRects().length)
        .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length || node.title))
        .map((node) => node.outerHTML)""")
    assert unnamed == []


def test_data_cannot_end_its_element(report_file):
    assert report_file.read_text(encoding="utf-8").count("</script>") == 2


def test_no_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no results to write"):
        write_report(tmp_path / "a.html", [])
