"""Files of the page: one, or many and an index; content security policy; escaping."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from hashlib import sha256

import pytest

from karsl.visualization.page import encode_clip, encode_index, index_row, page, page_html, write_page


def data_of(html: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])


def policy_of(html: str) -> str:
    return re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def test_policy_allows_only_its_own_script_and_style(page_file):
    html = page_file.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    policy = policy_of(html)
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src {digest(script)}; style-src {digest(style)}; " in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy


def test_served_page_may_only_request_its_own_server():
    assert "connect-src 'self';" in policy_of(page_html(server_url=""))


def test_page_has_no_external_address(page_file):
    html = page_file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"https?://|src=|@import|url\(", html) == []


def test_data_cannot_end_its_element(page_clips):
    evil = replace(page_clips[0], english="</script><script>alert(1)</script>", clip_id="<!--", arabic="\u2028")
    html = page_html([encode_clip(evil)], title="</title>", metadata={"</script>": "<b>"})
    assert html.count("</script>") == 2
    assert data_of(html)["index"]["columns"]["en"] == ["</script><script>alert(1)</script>"]


def test_many_clips_are_written_in_pages_with_an_index(page_clips, tmp_path):
    done: list[int] = []
    files = write_page(tmp_path / "all.html", page_clips, clips_per_page=5, progress=done.append)
    assert [path.name for path in files] == ["all.html", "all-001.html", "all-002.html", "all-003.html"]
    assert done == list(range(1, 13))
    index = data_of(files[0].read_text(encoding="utf-8"))
    assert index["index"]["columns"]["page"] == [0] * 5 + [1] * 5 + [2] * 2
    assert index["clips"] == {}
    assert [len(data_of(path.read_text(encoding="utf-8"))["clips"]) for path in files[1:]] == [5, 5, 2]


def test_a_page_is_closed_before_15_megabytes(page_clips, tmp_path, monkeypatch):
    one = len(json.dumps(encode_clip(page_clips[0])["stages"]))
    monkeypatch.setattr(page, "PAGE_BYTES", 500_000 + 4 * one)  # pages would be too large to test with
    files = write_page(tmp_path / "all.html", page_clips)
    assert len(files) > 3
    assert max(path.stat().st_size for path in files) < page.PAGE_BYTES


def test_few_clips_are_one_file(page_clips, tmp_path):
    assert write_page(tmp_path / "few.html", page_clips[:5], clips_per_page=5) == [tmp_path / "few.html"]
    assert [path.name for path in tmp_path.iterdir()] == ["few.html"]


def test_500_clips_of_48_frames_stay_below_15_megabytes(page_clips):
    payloads = [encode_clip(clip) for clip in page_clips]
    frames = sum(payload["total"] for payload in payloads)
    size = sum(len(json.dumps({**payload, "skeletons": {}})) for payload in payloads)
    assert 500 * 48 * size / frames < 15_000_000


def test_no_clips_and_duplicate_links_are_rejected(page_clips, tmp_path):
    with pytest.raises(ValueError, match="no clips to write"):
        write_page(tmp_path / "a.html", [])
    with pytest.raises(ValueError, match="is already used"):
        write_page(tmp_path / "a.html", page_clips[:1] * 2)
    assert list(tmp_path.iterdir()) == []


def test_row_needs_no_clip():
    metadata = {"clip_id": "a", "link": "a", "label": 0, "sign": 71, "english": "skeleton", "arabic": "", "signer": "01"}
    row = index_row({**metadata, "split": "train", "category": "Health"}, 48)
    assert row["seen"] is None
    index = encode_index([row, {**row, "id": "b", "link": "b"}])
    assert index["columns"]["en"] == {"values": ["skeleton"], "codes": [0, 0]}
    assert "ar" not in index["columns"]
