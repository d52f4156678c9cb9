"""A module imports only lower ranks or its own package: the plan of the house, held by its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import karsl

ROOT = Path(karsl.__file__).parent
ORDER = (
    ("version", "errors", "registry"),
    ("__init__", "skeletons"),
    ("storage",),  # the scan checks a clip's shape against its skeleton
    ("datasets",),
    ("models", "evaluation", "engine", "visualization", "analysis", "remote", "testing"),
    ("cli",),
    ("__main__",),
)
RANKS = {part: rank for rank, parts in enumerate(ORDER) for part in parts}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions and under TYPE_CHECKING too."""
    package = ("karsl", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def offenders(path: Path) -> Iterator[str]:
    own = part_of(path)
    for line, name in imports(path):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if package != "karsl":
            continue
        target = target if target in RANKS else "__init__"
        if target != own and RANKS[target] >= RANKS[own]:
            where = path.relative_to(ROOT.parent).as_posix()
            yield f"{where}:{line}: rank {RANKS[own]} '{own}' imports rank {RANKS[target]} '{target}'"


def test_every_module_has_a_rank():
    unranked = sorted({part_of(path) for path in ROOT.rglob("*.py")} - set(RANKS))
    assert unranked == [], "add them to ORDER here and to the table in CONTRIBUTING.md"


def test_modules_import_only_lower_ranks_or_their_own_package():
    found = [text for path in sorted(ROOT.rglob("*.py")) for text in offenders(path)]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("from karsl.datasets import KArSLDataset", 1),
        ("import karsl.datasets.keypoint_dataset", 1),
        ("from ..datasets import base", 1),
        ("from karsl import datasets", 1),
        ("def f():\n    from karsl.models import head", 2),
        ("from karsl.cli.main import main", 1),
    ],
)
def test_an_import_of_the_same_or_a_higher_rank_is_found(tmp_path, monkeypatch, code, line):
    module = tmp_path / "karsl" / "storage" / "npz.py"
    module.parent.mkdir(parents=True)
    module.write_text(code)
    monkeypatch.setitem(globals(), "ROOT", tmp_path / "karsl")
    (found,) = offenders(module)
    assert found.startswith(f"karsl/storage/npz.py:{line}: rank 2 'storage' imports rank")
