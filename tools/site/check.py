"""Checks of a built site: links lead to a file and an anchor, placeholders are escaped, nothing is loaded from a server."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Others are placeholders such as <class> that a page does not escape.
ELEMENTS = re.compile(
    r"a|article|aside|b|blockquote|body|br|button|canvas|circle|code|details|dialog|div|em|figcaption|figure|"
    r"footer|form|g|h[1-6]|head|header|hr|html|i|iframe|img|input|kbd|label|li|line|link|main|meta|nav|noscript|"
    r"ol|option|output|p|path|polyline|pre|rect|script|section|select|small|span|strong|style|sub|summary|sup|"
    r"svg|table|tbody|td|text|textarea|th|thead|title|tr|ul"
)
LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


class Page(HTMLParser):
    """Links and anchors of a page.

    Attributes:
        links: Addresses of links and of files that the page loads, as written.
        loaded: Those that the page loads.
        anchors: Values of `id` and `name`.
        unknown: Names of elements that no page of the site has.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.unknown: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the links and anchors of an element."""
        values = {name: value or "" for name, value in attrs}
        self.unknown |= set() if ELEMENTS.fullmatch(tag) else {tag}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        for name in ("href", "src"):
            if name in values and values.get("rel") not in ("canonical", "preconnect"):
                self.links.add(values[name])
                self.loaded |= {values[name]} if (tag, name) in LOADED else set()


def problems(site: Path) -> list[str]:
    """Return one line for each dead link, unknown element, and file of a server that a page loads."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site).as_posix()
        found += [f"{where} has an element <{name}>; escape it as &lt;{name}>" for name in sorted(page.unknown)]
        found += [f"{where} loads {link}" for link in sorted(page.loaded) if urlsplit(link).netloc]
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            base = site if parts.path.startswith("/") else path.parent
            target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file():
                found.append(f"{where} links to {link}, which is no file")
            elif anchor and target in pages and anchor not in pages[target].anchors and "gallery" not in target.parts:
                found.append(f"{where} links to {link}, but there is no such anchor")
    return found
