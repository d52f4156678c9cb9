"""Page of a stream of frames while it is classified, for `ClipServer`: keypoints, most likely classes, rate and latency."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton
from karsl.visualization.draw import palette
from karsl.visualization.page.document import source_hash

LINK = "live"
"""Name of the clip that the page requests again and again, `/clips/live.json`."""


class LiveState:
    """Responses about the latest frame. Another thread may update them.

    Args:
        title: Name of the stream.
        skeleton: Skeleton of its frames.
    """

    def __init__(self, title: str, skeleton: Skeleton) -> None:
        bones = [[bone.start, bone.end, bone.color] for bone in palette.bones(skeleton)]
        dots = [[point, color] for point, color in palette.dots(skeleton)]
        self.page = _page(title, {"bones": bones, "dots": dots})
        self.index_gz = gzip.compress(b'{"count":0,"columns":{}}', mtime=0)
        self._current = b'{"frame":null}'

    def __contains__(self, link: str) -> bool:
        return link == LINK

    def clip(self, link: str) -> bytes:
        """Return the latest frame as JSON."""
        return self._current

    def update(self, frame: int, points: np.ndarray, aspect: float, **values: Any) -> None:
        """Set the latest frame.

        Args:
            frame: Its number.
            points: (V, 4), x and y in [0, 1] of the picture; score 0 where missing.
            aspect: Width of the picture divided by its height.
            values: JSON values that the page shows: `top` (rows of name, Arabic name, score), `decision` (name, Arabic
                name), `fps`, `latency_ms`, `ended`.
        """
        rows = np.round(points.astype(np.float64), 4).tolist()
        shown = [[x, y] if score > 0 else None for x, y, _, score in rows]
        content = {"frame": frame, "points": shown, "aspect": round(aspect, 4), **values}
        self._current = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _page(title: str, data: Mapping[str, Sequence[Any]]) -> bytes:
    html = files("karsl.visualization.page").joinpath("assets", "live.html").read_text(encoding="utf-8")
    style, script = (html.split(f"<{tag}>")[1].split(f"</{tag}>")[0] for tag in ("style", "script"))
    policy = (
        f"default-src 'none'; script-src {source_hash(script)}; style-src {source_hash(style)}; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    values = {
        "{{policy}}": policy,
        "{{data}}": json.dumps(data).replace("<", "\\u003c"),
        "{{title}}": " ".join(title.split()).replace("&", "&amp;").replace("<", "&lt;"),
    }
    for placeholder, text in values.items():
        html = html.replace(placeholder, text)
    return html.encode()
