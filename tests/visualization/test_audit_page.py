"""The page of an audit: findings, plots and pictures without a network, and links into a browse page of the clips."""

from __future__ import annotations

import re

import pytest

from karsl.audit.corpus import audit_clips
from karsl.formats import open_clips
from karsl.visualization.audit_page import write_audit_page
from tests.audit import planted


@pytest.fixture(scope="module")
def faulty(corpus, tmp_path_factory):
    """Source with some faulty clips, one of them with characters of HTML in its name, and its report."""
    clips = planted.load(corpus)
    faults = ("empty", "pixels", "1e20 at one point", "one frame", "hands exchanged", "upside down")
    for fault, arrays in zip(faults, clips.values(), strict=False):
        key = next(iter(arrays))
        arrays[f"<b>{fault}</b> & more"] = planted.CONTENT[fault][1](arrays.pop(key))
    source = open_clips(planted.save(tmp_path_factory.mktemp("faulty"), clips, corpus), skip_bad=True)
    return source, audit_clips(source, name="a <name>")


@pytest.fixture(scope="module")
def written(faulty, tmp_path_factory):
    source, report = faulty
    return write_audit_page(tmp_path_factory.mktemp("page") / "audit.html", report, source)


def test_the_page_has_a_picture_and_a_link_for_each_finding(faulty, written):
    page, clips_page = written
    text, (_, report) = page.read_text(encoding="utf-8"), faulty
    assert (page.name, clips_page.name) == ("audit.html", "audit-clips.html")
    assert text.count("<section class='finding problem'>") == len(report.findings) == 6
    assert text.count("<img alt=") == 6
    assert text.count("<svg role='img'") == 4
    links = set(re.findall(r"href='audit-clips.html#clip=([^']+)'", text))
    assert len(links) == 6
    assert all(f'"{link}"' in clips_page.read_text(encoding="utf-8") for link in links)


def test_names_are_escaped_and_nothing_is_loaded(written):
    text = written[0].read_text(encoding="utf-8")
    assert "<h1>Audit of a &lt;name&gt;</h1>" in text
    assert "<b>pixels</b>" not in text
    assert "&lt;b&gt;pixels&lt;/b&gt; &amp; more" in text
    assert "default-src 'none'; img-src data:" in text
    assert re.findall(r"(?:src|href)='(?!data:|audit-clips)[^']*'", text) == []


def test_the_page_of_a_sound_corpus_has_no_pictures(corpus, tmp_path):
    source = open_clips(corpus)
    (page,) = write_audit_page(tmp_path / "a.html", audit_clips(source), source)
    text = page.read_text(encoding="utf-8")
    assert "Nothing was found in the clips that were read" in text
    assert "<img" not in text


def test_the_page_opens_in_a_browser_and_links_to_the_clip(window, written):
    opened = window()
    opened.page.goto(written[0].as_uri())
    assert opened.errors == []
    assert opened.requests == [written[0].as_uri()]
    assert opened.page.locator("section.finding img").evaluate_all("all => all.every((one) => one.naturalWidth > 300)")
    opened.page.locator("figcaption a").first.click()
    opened.page.wait_for_selector("html[data-ready=yes]")
    assert "#clip=" in opened.page.url
    assert opened.page.inner_text("#clip-title") != ""
