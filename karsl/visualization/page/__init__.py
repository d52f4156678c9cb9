"""The browse page: one HTML file, without network access or libraries, to search, play and compare clips.

    clips -> encode_clip -> payloads -> page_html -> one file             write_page
    clips -> encode_clip -> payload on request <- page_html(server_url)   a server

A server provides, relative to the page: the page itself, `index.json` (`encode_index` of one `index_row` per clip, for which
no clip is read) and `clips/<link>.json` (`encode_clip`).
"""

from __future__ import annotations

from karsl.visualization.page.clip import PageClip, PageStage, clip_link, clip_metadata
from karsl.visualization.page.encode import encode_clip, encode_index, index_row
from karsl.visualization.page.page import page_html, write_page

__all__ = [
    "PageClip",
    "PageStage",
    "clip_link",
    "clip_metadata",
    "encode_clip",
    "encode_index",
    "index_row",
    "page_html",
    "write_page",
]
