"""Every extra that code or a page names is one of setup.cfg's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import karsl

ROOT = Path(karsl.__file__).parents[1]
MODULES = sorted((ROOT / "karsl").rglob("*.py"))
CANDIDATES = sorted((ROOT / "benchmarks").rglob("*.py"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
IN_TEXT = re.compile(r"(?:karsl|\.)\[([a-z]+(?:,[a-z]+)*)\]")


def extras_of_setup() -> set[str]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(setup["options.extras_require"])


def named_by_calls(path: Path) -> Iterator[ast.expr]:
    """The first argument of every `missing_extra(...)`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "missing_extra":
            yield node.args[0]


def extras_of_candidates(path: Path) -> Iterator[str]:
    """`extra = "name"` in a class."""
    for owner in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for node in owner.body if isinstance(owner, ast.ClassDef) else []:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            value = getattr(node, "value", None)
            if any(getattr(t, "id", "") == "extra" for t in targets) and isinstance(getattr(value, "value", None), str):
                yield value.value


def test_missing_extra_names_extras_of_setup_cfg():
    named = [(path.relative_to(ROOT).as_posix(), call) for path in MODULES for call in named_by_calls(path)]
    found = {(where, ast.literal_eval(call)) for where, call in named}
    assert found, "no call of missing_extra: was it renamed?"
    assert {where for where in found if where[1] not in extras_of_setup()} == set()


def test_candidates_of_the_benchmark_name_extras_of_setup_cfg():
    found = {(path.relative_to(ROOT).as_posix(), name) for path in CANDIDATES for name in extras_of_candidates(path)}
    assert {"bench", "fast"} <= {name for _, name in found}
    assert {where for where in found if where[1] not in extras_of_setup()} == set()


def test_texts_name_extras_of_setup_cfg():
    found = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in [*MODULES, *PAGES]
        for names in IN_TEXT.findall(path.read_text(encoding="utf-8"))
        for name in names.split(",")
    }
    assert ("README.md", "fast") in found
    assert {where for where in found if where[1] not in extras_of_setup()} == set()
