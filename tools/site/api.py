"""Pages of the API reference: one per package, with the names that it exports and every public name of its modules."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
INTRO = """# API reference

Every public class and function of karsl, from its docstring. A package page starts with the names that users import from it.
Names that start with an underscore are private. Before version 1.0, names that a package does not export may change in a
minor version.

| package | content |
| --- | --- |
"""


def packages() -> list[str]:
    """Return the names of all packages of karsl, `karsl` first."""
    inits = sorted((ROOT / "karsl").rglob("__init__.py"))
    return [".".join(path.relative_to(ROOT).parent.parts) for path in inits if path.parent.name != "configs"]


def modules(package: str) -> list[str]:
    """Return the names of the modules of a package, without those of its subpackages."""
    folder = ROOT / package.replace(".", "/")
    return [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]


def summary(path: Path) -> str:
    """Return the first paragraph of the docstring of a module, in one line."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(doc.partition("\n\n")[0].split())


def index_page() -> str:
    """Return the page that lists the packages."""
    rows = [f"| [{name}]({name}.md) | {summary(ROOT / name.replace('.', '/') / '__init__.py')} |" for name in packages()]
    return INTRO + "\n".join(rows) + "\n"


def exported(package: str, tree: Any) -> list[str]:
    """Return a table row for each exported class and function, with the first sentence of its docstring.

    Args:
        package: Dotted name.
        tree: The root package as griffe has loaded it.
    """
    module = tree[package.partition(".")[2]] if "." in package else tree
    rows = []
    for name in sorted(module.exports or (), key=str.lower):
        found = module[name] if name in module.members else None
        found = found.final_target if found is not None and found.is_alias else found
        if found is not None and found.kind.value in ("class", "function") and found.docstring:
            text = " ".join(found.docstring.value.partition("\n\n")[0].split()).replace("|", r"\|")
            rows.append(f"| [`{name}`][{found.path}] | {text} |")
    return rows


def package_page(package: str, tree: Any) -> str:
    """Return the page of a package."""
    parts = [f"# {package}\n\n{summary(ROOT / package.replace('.', '/') / '__init__.py')}\n"]
    if rows := exported(package, tree):
        parts.append(f"Import these names from `{package}`:\n\n| name | purpose |\n| --- | --- |\n" + "\n".join(rows) + "\n")
    parts += [f"::: {package}.{module}\n" for module in modules(package)]
    return "\n".join(parts)


def write_pages(folder: Path) -> list[Any]:
    """Write all pages to `folder`, and return their entries of the navigation."""
    import griffe

    tree = griffe.load("karsl", search_paths=[ROOT])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.md").write_text(index_page(), encoding="utf-8")
    for name in packages():
        (folder / f"{name}.md").write_text(package_page(name, tree), encoding="utf-8")
    return [f"{folder.name}/index.md", *({name: f"{folder.name}/{name}.md"} for name in packages())]
