"""Every promise on the page of faults names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
TEST = re.compile(r"\[(test_\w+)\]\((\S+\.py)\)")


def test_every_promise_names_a_test_that_exists():
    rows = [line for line in (DOCS / "reference-faults.md").read_text(encoding="utf-8").splitlines() if "| [" in line]
    assert len(rows) > 30
    named = [TEST.findall(row) for row in rows]
    assert [row for row, found in zip(rows, named, strict=True) if len(found) != 1] == []
    absent = [name for [(name, file)] in named if f"def {name}(" not in (DOCS / file).read_text(encoding="utf-8")]
    assert absent == []
