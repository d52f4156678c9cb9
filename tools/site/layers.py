"""Diagram of the layers of karsl: rows from the order that a test enforces, arrows from the imports of the code.

Modules directly below karsl have no arrows, since packages of every layer import them.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACEHOLDER = "<!-- diagram of the layers -->"
HIDDEN = ("__init__", "__main__")
WIDTH, HEIGHT, ROW, GAP, LETTER = 860, 34, 78, 14, 8.2


def layers() -> list[list[str]]:
    """Return the packages and modules directly below karsl, from the lowest layer, as in ORDER of tests/test_ranks.py."""
    tree = ast.parse((ROOT / "tests" / "test_ranks.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "ORDER":
            order = ast.literal_eval(node.value)[""]  # type: ignore[arg-type]
            groups = [[name for name in group.split() if name not in HIDDEN] for group in order.split("|")]
            return [group for group in groups if group]
    raise ValueError("tests/test_ranks.py has no ORDER; correct tools/site/layers.py")


def imports() -> dict[str, set[str]]:
    """Return the packages of karsl that each of them imports, type imports included."""
    names = {name for group in layers() for name in group if (ROOT / "karsl" / name).is_dir()}
    found: dict[str, set[str]] = {name: set() for name in names}
    for path in (ROOT / "karsl").rglob("*.py"):
        name = path.relative_to(ROOT / "karsl").with_suffix("").parts[0]
        if name not in names:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            dotted = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "karsl":
                dotted = [f"karsl.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                dotted = [node.module]
            found[name] |= {parts[1] for text in dotted if len(parts := text.split(".")) > 1 and parts[0] == "karsl"} & names
        found[name].discard(name)
    return found


def direct(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return a graph without the edges that a longer path implies."""

    def below(name: str) -> set[str]:
        return set().union(*({child} | below(child) for child in graph[name]))

    return {name: children - set().union(*map(below, children)) for name, children in graph.items()}


def svg(graph: dict[str, set[str]]) -> str:
    """Return the diagram of `imports()` as an SVG element in one line, with the colors of the page; boxes are links."""
    rows = list(reversed(layers()))
    boxes: dict[str, tuple[float, float, float]] = {}
    for number, group in enumerate(rows):
        widths = [LETTER * len(name) + 22 for name in group]
        x = (WIDTH - sum(widths) - GAP * (len(group) - 1)) / 2
        for name, width in zip(group, widths, strict=True):
            boxes[name] = (x, number * ROW + 4.0, width)
            x += width + GAP
    parts = []
    for name, children in sorted(direct(graph).items()):
        x, y, width = boxes[name]
        for child in sorted(children):
            below_x, below_y, below_width = boxes[child]
            start, end = (x + width / 2, y + HEIGHT), (below_x + below_width / 2, below_y)
            middle = (end[1] - start[1]) / 2
            parts.append(
                f'<path d="M{start[0]:.0f} {start[1]:.0f}c0 {middle:.0f} {end[0] - start[0]:.0f} {middle:.0f} '
                f'{end[0] - start[0]:.0f} {end[1] - start[1]:.0f}"/>'
            )
    for name, (x, y, width) in boxes.items():
        page = f"karsl.{name}/" if (ROOT / "karsl" / name).is_dir() else f"karsl/#karsl.{name}"
        parts.append(
            f'<a href="api/{page}"><rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{HEIGHT}" rx="6"/>'
            f'<text x="{x + width / 2:.0f}" y="{y + HEIGHT / 2 + 5:.0f}">{escape(name)}</text></a>'
        )
    height = len(rows) * ROW - ROW + HEIGHT + 8
    label = "Packages of karsl in layers; arrows lead to what a package imports"
    return f'<svg class="layers" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
