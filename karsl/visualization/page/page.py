"""The browse page as one HTML file, or as many pages and an index.

A page consists of markup, style, scripts and data, under a strict content security policy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from karsl.io.atomic import atomic_path
from karsl.version import __version__
from karsl.visualization.page.clip import PageClip
from karsl.visualization.page.document import assemble_html
from karsl.visualization.page.encode import encode_clip, encode_index

# In the order in which they are joined: each uses only names of earlier ones when it is loaded.
_SCRIPTS = (
    "dom", "text", "canvas", "theme", "decode", "store", "marks", "pose", "draw", "panels", "timeline",
    "filters", "list", "views", "player", "head", "charts", "stats", "keys", "main",
)  # fmt: skip
CLIPS_PER_PAGE = 500
PAGE_BYTES = 15_000_000
_OVERHEAD_BYTES = 500_000  # of markup, style, scripts and skeletons


def write_page(
    path: str | os.PathLike[str],
    clips: Iterable[PageClip],
    *,
    title: str = "clips",
    metadata: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    clips_per_page: int = CLIPS_PER_PAGE,
) -> list[Path]:
    """Write the browse page of clips.

    Args:
        path: File to write, such as `browse.html`.
        clips: Clips to show, consumed one by one; at most one page of them is held in memory.
        title: Title of the page.
        metadata: Origin of the clips, shown in the statistics.
        progress: Called with the number of clips written, after each.
        clips_per_page: Maximum number of clips per page. More clips than this, or than 15 MB, are written as
            `browse-001.html` and so on; `path` then is an index of all clips, in which links work too.

    Returns:
        The files written; the first is `path`.

    Raises:
        ValueError: If there are no clips, or two have the same link.
    """
    path = Path(path)
    chunks = _chunks(clips, clips_per_page, progress)
    chunk, following = next(chunks, None), next(chunks, None)
    if chunk is None:
        raise ValueError(f"no clips to write to {path}; select at least one")
    if following is None:
        _write(path, page_html(chunk, title=title, metadata=metadata))
        return [path]
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    while chunk is not None:
        number = len(names) + 1
        rows += [{**payload["row"], "seen": None, "page": len(names)} for payload in chunk]
        names.append(_page_name(path, number))
        pages = {
            "home": path.name,
            "before": names[-2] if number > 1 else None,
            "after": _page_name(path, number + 1) if following else None,
        }
        html = page_html(chunk, title=f"{title} · page {number}", metadata=metadata, pages=pages)
        _write(path.with_name(names[-1]), html)
        chunk, following = following, next(chunks, None)
    _write(path, page_html(title=title, metadata=metadata, pages={"home": path.name, "names": names}, rows=rows))
    return [path, *(path.with_name(name) for name in names)]


def page_html(
    payloads: Iterable[Mapping[str, Any]] = (),
    *,
    title: str = "clips",
    metadata: Mapping[str, Any] | None = None,
    server_url: str | None = None,
    pages: Mapping[str, Any] | None = None,
    rows: Iterable[Mapping[str, Any]] | None = None,
) -> str:
    """Assemble the page.

    Args:
        payloads: Results of `encode_clip`, to embed.
        title: Title of the page and the window.
        metadata: Origin of the clips, shown in the statistics.
        server_url: Address of `index.json` and `clips/<link>.json` on a server of the same origin, relative to the page;
            `""` is its folder. None embeds everything and forbids all requests.
        pages: Names of a set of pages: `home` (the index), and `names` of all in the index, or `before` and `after`.
        rows: Rows of the list if no payloads are embedded; each has its `page`.

    Returns:
        A complete document. It loads nothing from any network, and runs no script but its own.
    """
    payloads = list(payloads)
    skeletons: dict[str, Any] = {}
    for payload in payloads:
        skeletons.update(payload["skeletons"])
    data = {
        "title": title,
        "metadata": {str(key): str(value) for key, value in (metadata or {}).items()},
        "version": __version__,
        "server": server_url,
        "pages": pages,
        "index": encode_index(rows if rows is not None else [payload["row"] for payload in payloads]),
        "skeletons": skeletons,
        "clips": {p["row"]["link"]: {k: p[k] for k in ("total", "stages", "augmentations")} for p in payloads},
    }
    can_fetch, styles = server_url is not None, ("page.css",)
    return assemble_html(data, title=title, template="page.html", styles=styles, scripts=_SCRIPTS, can_fetch=can_fetch)


def _page_name(path: Path, number: int) -> str:
    return f"{path.stem}-{number:03d}{path.suffix}"


def _chunks(clips: Iterable[PageClip], size: int, progress: Callable[[int], None] | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the payloads of one page after the other."""
    chunk: list[dict[str, Any]] = []
    links: set[str] = set()
    chunk_bytes = 0
    for done, clip in enumerate(clips, start=1):
        if clip.link in links:
            raise ValueError(
                f"clip {clip.clip_id!r}: link {clip.link!r} is already used; give it another PageClip(link=...)"
            )
        links.add(clip.link)
        payload = encode_clip(clip)
        num_bytes = _estimate_bytes(payload)
        if chunk and (len(chunk) == size or chunk_bytes + num_bytes > PAGE_BYTES - _OVERHEAD_BYTES):
            yield chunk
            chunk, chunk_bytes = [], 0
        chunk.append(payload)
        chunk_bytes += num_bytes
        if progress is not None:
            progress(done)
    if chunk:
        yield chunk


def _estimate_bytes(payload: Mapping[str, Any]) -> int:
    """Estimate the size of a clip in a page."""
    points = [stage["points"] for stage in (*payload["stages"], *payload["augmentations"])]
    data = sum(len(p.get("data") or p.get("seen") or "") for p in points)
    pictures = sum(len(p) for stage in payload["stages"] for p in stage.get("pictures", ()))
    return data + pictures + sum(len(str(p)) for p in points if "from" in p) + 600 * (1 + len(points))


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
