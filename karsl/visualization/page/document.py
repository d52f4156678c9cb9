"""One HTML document of markup, styles, scripts and data, under a strict content security policy."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

_COMMENTS = re.compile(r"^ *(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)\n", re.DOTALL | re.MULTILINE)


def assemble_html(
    data: Mapping[str, Any],
    *,
    title: str,
    template: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    can_fetch: bool = False,
) -> str:
    """Assemble a document.

    Args:
        data: JSON-compatible data, embedded as the element `data`.
        title: Title of the window.
        template: Name of the markup in `assets`.
        styles: Names of the style sheets in `assets`, joined in this order.
        scripts: Names of the scripts in `assets/js`, joined in this order: each uses only names of earlier ones when it is
            loaded.
        can_fetch: Permit requests to the server of the document.

    Returns:
        A complete document. It loads nothing from any network, and runs no script but its own.
    """
    style = "".join(map(read_asset, styles))
    script = _join_scripts(tuple(scripts))
    values = {
        "{{policy}}": _policy(style, script, can_fetch=can_fetch),
        "{{title}}": " ".join(title.split()).replace("&", "&amp;").replace("<", "&lt;"),
        "{{style}}": style,
        "{{script}}": script,
        "{{data}}": _json_text(data),
    }
    html = read_asset(template)
    for placeholder, text in values.items():
        before, after = html.split(placeholder, 1)
        html = before + text + after
    return html


@cache
def read_asset(name: str) -> str:
    """Return the text of a file in `assets`."""
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _join_scripts(names: tuple[str, ...]) -> str:
    scripts = "\n".join(f"// ---- {name}.js\n{_COMMENTS.sub('', read_asset(f'js/{name}.js'))}" for name in names)
    return f'"use strict";\n(() => {{\n{scripts}}})();\n'


def _json_text(data: Mapping[str, Any]) -> str:
    """Return JSON without `<`, which cannot end its element."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _policy(style: str, script: str, *, can_fetch: bool) -> str:
    return "; ".join([
        "default-src 'none'",
        f"script-src {source_hash(script)}",
        f"style-src {source_hash(style)}",
        "img-src data:",
        f"connect-src {chr(39)}{'self' if can_fetch else 'none'}{chr(39)}",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ])  # fmt: skip


def source_hash(text: str) -> str:
    """Return the source expression of a content security policy that allows an inline script or style."""
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
