"""Every page's Python blocks run, top to bottom, as one script in an empty folder.

A block with `<!-- no-run -->` on the line above it is for reading only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^(?P<mark><!-- no-run -->\s*\n)?```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def script_of(text: str) -> str:
    """Join the blocks that run, each on its line of the page, so that a traceback points into the page."""
    lines = [""] * len(text.splitlines())
    for block in BLOCK.finditer(text):
        if block["mark"] is None:
            first = text.count("\n", 0, block.start("code"))
            code = block["code"].splitlines()
            lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


def pages_with_code() -> list[Path]:
    return [page for page in PAGES if script_of(page.read_text(encoding="utf-8")).strip()]


@pytest.mark.parametrize("page", pages_with_code(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_code_blocks_of_a_page_run(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(script_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900
    )
    name = page.relative_to(ROOT)
    assert done.returncode == 0, f"{name} (line numbers are the page's):\n{done.stderr[-4000:]}"


def test_blocks_keep_their_lines_and_marked_ones_are_left_out():
    text = "one\n```python\na = 1\n```\n<!-- no-run -->\n```python\nb = 2\n```\n```python\nc = 3\n```\n"
    assert script_of(text).splitlines() == ["", "", "a = 1", "", "", "", "", "", "", "c = 3", ""]
