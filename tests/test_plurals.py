"""Counts and their nouns agree: `pluralize` makes '1 clip' and '2 clips'."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import karsl

ROOT = Path(karsl.__file__).parent
NOUNS = re.compile(r" (?:clips|frames|signs|signers|classes|files|records|shards|workers|folds|epochs)\b(?![/-])")
# Values before a plural that are no counts of it: a constant above 1, a rate, a word, a list of names.
OTHER = re.compile(
    r"^_?[A-Z_]+$|per_s$|seconds$|\.join\(|\.suffix$|^(part|span|of_all|where|lengths|frames|field)$|^max\(r\.get"
)


def offenders(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of each number that a plural follows in an f-string."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for value, after in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant) and NOUNS.match(after.value):
                    text = ast.unparse(value.value)
                    if not OTHER.search(text):
                        yield node.lineno, text


def test_counts_are_written_by_pluralize():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {{{text}}}"
        for path in sorted(ROOT.rglob("*.py"))
        for line, text in offenders(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "use karsl.errors.pluralize:\n" + "\n".join(found)


def test_a_number_before_a_plural_is_found():
    assert list(offenders("f'{len(x)} clips of {n} frames/s'")) == [(1, "len(x)")]
    assert list(offenders("f'{pluralize(len(x), noun)} of {MOST} clips'")) == []
