"""Pages are short where readers start, and each guide states its question."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs").glob("howto-*.md"))


def test_the_readme_has_at_most_120_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_quickstart_has_less_than_400_words():
    assert len((ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8").split()) < 400


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_starts_with_its_question(page):
    start = "\n".join(page.read_text(encoding="utf-8").splitlines()[:3])
    assert re.fullmatch(r"# .+\n\n\*How-to\.\* .+\?", start)
