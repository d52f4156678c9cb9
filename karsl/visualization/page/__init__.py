"""The browse page: one HTML file without network or library, in which clips are searched, played and compared.

    clips -> encode_clip -> payloads -> page_html -> one file             write_page
    clips -> encode_clip -> payload on demand <- page_html(server_url)    a server

A server gives three things below the address of its page: the page itself, `index.json` (`encode_index` of one
`index_row` a clip, which needs no clip to be read) and `clips/<link>.json` (`encode_clip`).
"""

from __future__ import annotations

from karsl.visualization.page.clip import PageClip, PageStage, clip_facts, clip_link
from karsl.visualization.page.encode import encode_clip
from karsl.visualization.page.html import page_html
from karsl.visualization.page.rows import encode_index, index_row
from karsl.visualization.page.write import write_page

__all__ = [
    "PageClip",
    "PageStage",
    "clip_facts",
    "clip_link",
    "encode_clip",
    "encode_index",
    "index_row",
    "page_html",
    "write_page",
]
