"""Clips to files: one page, or for many clips a page a chunk and an index of all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from karsl.io.atomic import atomic_path
from karsl.visualization.page.clip import PageClip
from karsl.visualization.page.encode import encode_clip
from karsl.visualization.page.html import page_html

CLIPS_A_PAGE = 500
PAGE_BYTES = 15_000_000


def write_page(
    path: str | os.PathLike[str],
    clips: Iterable[PageClip],
    *,
    title: str = "clips",
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    clips_a_page: int = CLIPS_A_PAGE,
) -> list[Path]:
    """Write the browse page of clips.

    Args:
        path: The file to write, such as `browse.html`.
        clips: To show; taken one by one, at most a page of them is held in memory.
        title: Shown in the page's head.
        facts: Where the clips come from: name to value, shown on the statistics page.
        progress: Called with the number of clips done, after each.
        clips_a_page: More clips than this, or than 15 MB, are written as `browse-001.html` and so on; `path` then is an
            index of all clips, in which the stable links work too.

    Returns:
        The files written; the first is `path`.

    Raises:
        ValueError: There are no clips, or two have the same link.
    """
    path = Path(path)
    chunks = _chunks(clips, clips_a_page, progress)
    chunk, following = next(chunks, None), next(chunks, None)
    if chunk is None:
        raise ValueError(f"no clips to write to {path}; choose at least one")
    if following is None:
        _write(path, page_html(chunk, title=title, facts=facts))
        return [path]
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    while chunk is not None:
        number = len(names) + 1
        rows += [{**payload["row"], "seen": None, "page": len(names)} for payload in chunk]
        names.append(_part_name(path, number))
        around = {"before": names[-2] if number > 1 else None, "after": _part_name(path, number + 1) if following else None}
        pages = {"home": path.name, **around}
        _write(path.with_name(names[-1]), page_html(chunk, title=f"{title} · page {number}", facts=facts, pages=pages))
        chunk, following = following, next(chunks, None)
    _write(path, page_html(title=title, facts=facts, pages={"home": path.name, "names": names}, rows=rows))
    return [path, *(path.with_name(name) for name in names)]


def _part_name(path: Path, number: int) -> str:
    return f"{path.stem}-{number:03d}{path.suffix}"


def _chunks(clips: Iterable[PageClip], size: int, progress: Callable[[int], None] | None) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    links: set[str] = set()
    taken = 0
    for done, clip in enumerate(clips, start=1):
        if clip.link in links:
            raise ValueError(
                f"clip {clip.clip_id!r}: its link {clip.link!r} is another clip's; give PageClip(link=...) another"
            )
        links.add(clip.link)
        payload = encode_clip(clip)
        weight = _weight(payload)
        if chunk and (len(chunk) == size or taken + weight > PAGE_BYTES - 500_000):
            yield chunk
            chunk, taken = [], 0
        chunk.append(payload)
        taken += weight
        if progress is not None:
            progress(done)
    if chunk:
        yield chunk


def _weight(payload: Mapping[str, Any]) -> int:
    """About how many bytes a clip takes in a page."""
    held = [stage["points"] for stage in (*payload["stages"], *payload["draws"])]
    data = sum(len(points.get("data") or points.get("seen") or "") for points in held)
    return data + sum(len(str(points)) for points in held if "from" in points) + 600 * (1 + len(held))


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")
