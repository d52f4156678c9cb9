"""Texts use the words of the field: those on this list are replaced by the ones next to them."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted((ROOT / "docs").rglob("*.md"))
MODULES = [path for folder in ("karsl", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
SCRIPTS = [path for suffix in ("js", "html", "css") for path in sorted((ROOT / "karsl").rglob(f"*.{suffix}"))]
WORDS = {
    r"lies?|lying": "is stored, is located",
    r"told|said|tells?": "reported, logged, contains",
    r"brings?|brought": "downloads, installs",
    r"elsewhere": "remote, in another folder",
    r"anew": "again, from scratch",
    r"beside": "next to, sibling",
    r"whoever|nobody|somebody": "the process, no one",
    r"shall": "must, should",
    r"go(?:es)? on with|gone on with|went on with": "continues, resumes",
    r"lets? go of": "releases",
    r"tak(?:es?|en) for": "mistaken for, classified as",
    r"an? \w+ an? (?:batch|clip|epoch|file|frame|rank|row|sample|second|sign|step|worker)": "one row per clip",
}
BANNED = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)


def texts_of_module(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each comment and string."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            for number, line in enumerate(token.string.splitlines()):
                yield token.start[0] + number, line


def names_of_module(path: Path) -> Iterator[tuple[int, str]]:
    """Line and words of each name that the module defines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name.replace("_", " ")
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg.replace("_", " ")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id.replace("_", " ")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr.replace("_", " ")


def texts_of_page(path: Path) -> Iterator[tuple[int, str]]:
    yield from enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def hits(path: Path) -> list[str]:
    sources = [texts_of_module, names_of_module] if path.suffix == ".py" else [texts_of_page]
    return [
        f"{path.relative_to(ROOT).as_posix()}:{line}: {found[0]!r} in {text.strip()[:90]!r}"
        for source in sources
        for line, text in source(path)
        for found in BANNED.finditer(text)
    ]


@pytest.mark.parametrize("paths", [PAGES, MODULES, SCRIPTS], ids=["pages", "modules", "page of clips"])
def test_texts_use_the_words_of_the_field(paths):
    found = [hit for path in paths for hit in hits(path)]
    assert found == [], f"{len(found)} words to replace (see WORDS):\n" + "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "where it lies",
        "as he said",
        "BRINGS them",
        "made anew",
        "beside it",
        "Nobody",
        "goes on with the next",
        "lets go of it",
        "a row a clip",
    ],
)
def test_a_word_that_is_not_used_any_more_is_found(text):
    assert BANNED.search(text)


@pytest.mark.parametrize("text", ["underlies", "believes", "besides", "marshall", "essay", "foretells", "in a row an error"])
def test_other_words_that_contain_one_are_not(text):
    assert not BANNED.search(text)
