"""One HTML file out of the page's parts: markup, style, scripts and data, held together by a strict content policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from karsl.version import __version__
from karsl.visualization.page.rows import encode_index

# In the order in which they are joined: each uses only what stands before it.
_SCRIPTS = (
    "dom", "text", "decode", "store", "pose", "draw", "panels", "timeline",
    "filters", "list", "views", "player", "head", "charts", "stats", "keys", "main",
)  # fmt: skip


def page_html(
    payloads: Iterable[Mapping[str, Any]] = (),
    *,
    title: str = "clips",
    facts: Mapping[str, Any] | None = None,
    server_url: str | None = None,
    pages: Mapping[str, Any] | None = None,
    rows: Iterable[Mapping[str, Any]] | None = None,
) -> str:
    """Assemble the page.

    Args:
        payloads: As `encode_clip` gives them; they are embedded.
        title: Shown in the page's head and as the window's name.
        facts: Where the clips come from: name to value, shown on the statistics page.
        server_url: Where a server of the same origin gives `index.json` and `clips/<link>.json`, relative to the page:
            `""` is beside it. None embeds everything, and nothing may be fetched.
        pages: Of a set of pages: `home` (name of the index), and `names` of all in the index, or `before` and `after`.
        rows: Lines of the list where no payloads are embedded; each then tells its `page`.

    Returns:
        A whole document; it loads nothing from any network, and runs no script but its own.
    """
    payloads = list(payloads)
    skeletons: dict[str, Any] = {}
    for payload in payloads:
        skeletons.update(payload["skeletons"])
    data = {
        "title": title,
        "facts": {str(key): str(value) for key, value in (facts or {}).items()},
        "version": __version__,
        "server": server_url,
        "pages": pages,
        "index": encode_index(rows if rows is not None else [payload["row"] for payload in payloads]),
        "skeletons": skeletons,
        "clips": {p["row"]["link"]: {k: p[k] for k in ("total", "stages", "draws")} for p in payloads},
    }
    return _fill(_part("page.html"), _policy(server_url is not None), _script_text(title), data)


def _fill(markup: str, policy: str, title: str, data: Mapping[str, Any]) -> str:
    parts = {
        "{{policy}}": policy,
        "{{title}}": title.replace("&", "&amp;").replace("<", "&lt;"),
        "{{style}}": _part("page.css"),
        "{{script}}": _script(),
        "{{data}}": _json_text(data),
    }
    for place, text in parts.items():
        before, after = markup.split(place, 1)
        markup = before + text + after
    return markup


def _json_text(data: Mapping[str, Any]) -> str:
    """JSON that cannot end its element: no `<` is left in it."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _script_text(title: str) -> str:
    return " ".join(title.split())


def _policy(may_fetch: bool) -> str:
    return "; ".join([
        "default-src 'none'",
        f"script-src {_hash(_script())}",
        f"style-src {_hash(_part('page.css'))}",
        "img-src data:",
        f"connect-src {chr(39)}{'self' if may_fetch else 'none'}{chr(39)}",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ])  # fmt: skip


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _script() -> str:
    parts = "\n".join(f"// ---- {name}.js\n{_part(f'js/{name}.js')}" for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
