"""Checks of a built site: every link leads to a file and an anchor, and pages load nothing from a server."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("link", "href")}


class Page(HTMLParser):
    """Links and anchors of a page.

    Attributes:
        links: Addresses of links and of files that the page loads, as written.
        loaded: Those that the page loads.
        anchors: Values of `id` and `name`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the links and anchors of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        for name in ("href", "src"):
            if name in values and values.get("rel") not in ("canonical", "preconnect"):
                self.links.add(values[name])
                self.loaded |= {values[name]} if (tag, name) in LOADED else set()


def problems(site: Path) -> list[str]:
    """Return one line for each dead link, and for each file of a server that a page loads."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site).as_posix()
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
