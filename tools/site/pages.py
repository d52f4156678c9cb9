"""Pages of the documentation site: those of docs/ and of the repository's root, with their links, and the navigation.

docs/README.md is the start page and the only list of pages: its headings are parts of the navigation, and the first link of
each table row is an entry. A row that links to the README.md of a folder adds the entries of that page.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).parents[2]
ROOT_PAGES = {name: f"{name[:-3].lower()}.md" for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")}
LANGUAGES = {".py": "python", ".sh": "sh", ".cfg": "ini", ".toml": "toml", ".cff": "yaml", ".yml": "yaml"}

_FENCE = re.compile(r"^(```|~~~).*?^\1\s*?$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()(?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]+)?(\))")
_HEADING = re.compile(r"^(##+) (.+)$")
_ROW = re.compile(r"^\| *\[([^\]]+)\]\(([^)#\s]+)\)")
_NO_RUN = re.compile(r"^<!-- no-run -->\n", re.MULTILINE)

Entry = dict[str, Any] | str  # of the navigation: a title and its page or entries, or a page with its own title


def site_path(source: str) -> str:
    """Return the path on the site of a page or another file, both relative to their roots.

    Example:
        >>> site_path("docs/README.md"), site_path("docs/decisions/README.md"), site_path("configs/demo.py")
        ('index.md', 'decisions/index.md', 'source/configs/demo.py.md')
    """
    path = PurePosixPath(source)
    if source == "README.md":
        return "index.md"
    if source in ROOT_PAGES:
        return ROOT_PAGES[source]
    if path.parts[0] != "docs":
        return f"source/{source}.md"
    path = path.relative_to("docs")
    if path.suffix == ".ipynb":
        path = path.with_suffix(".md")
    return (path.with_name("index.md") if path.name == "README.md" else path).as_posix()


def resolve(source: str, target: str) -> str:
    """Return the path in the repository to which a link of `source` leads; a folder stands for its README.md.

    Raises:
        ValueError: If there is no such file.
    """
    path = os.path.normpath(PurePosixPath(source).parent / target).replace(os.sep, "/")
    path = f"{path}/README.md" if (ROOT / path / "README.md").is_file() else path
    if not (ROOT / path).is_file():
        raise ValueError(f"{source} links to {target!r}, which is no file of the repository; correct the link")
    return path


def with_site_links(source: str, text: str, linked: Callable[[str], None]) -> str:
    """Return the text of a page with links that lead to pages of the site; code blocks keep theirs.

    Args:
        source: Path of the page in the repository.
        text: Its Markdown.
        linked: Called with the path in the repository of each file that is a target.
    """
    folder = PurePosixPath(site_path(source)).parent

    def replaced(match: re.Match[str]) -> str:
        target = resolve(source, match[2])
        linked(target)
        there = os.path.relpath(site_path(target), folder).replace(os.sep, "/")
        return f"{match[1]}{there}{match[3] or ''}{match[4]}"

    parts, last = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(replaced, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return _NO_RUN.sub("", "".join([*parts, _LINK.sub(replaced, text[last:])]))


def notebook_page(text: str) -> str:
    """Return a notebook as Markdown, without output."""
    cells = []
    for cell in json.loads(text)["cells"]:
        content = "".join(cell["source"])
        cells.append(content if cell["cell_type"] == "markdown" else f"```python\n{content}\n```")
    return "\n\n".join(cells) + "\n"


def source_page(path: str) -> str:
    """Return the page that shows a file of the repository to which a page links; it is left out of the search."""
    code = (ROOT / path).read_text(encoding="utf-8").rstrip("\n")
    language = LANGUAGES.get(PurePosixPath(path).suffix, "text")
    return f"---\nsearch:\n  exclude: true\n---\n\n# {path}\n\n~~~~~~{language}\n{code}\n~~~~~~\n"


def read_page(source: str) -> str:
    """Return the Markdown of a page or notebook."""
    text = (ROOT / source).read_text(encoding="utf-8")
    return notebook_page(text) if source.endswith(".ipynb") else text


def page_sources() -> list[str]:
    """Return every page and notebook of docs/ and the pages of the root, as paths in the repository."""
    found = [path for suffix in ("md", "ipynb") for path in (ROOT / "docs").rglob(f"*.{suffix}")]
    names = [path.relative_to(ROOT).as_posix() for path in sorted(found) if ".ipynb_checkpoints" not in path.parts]
    return names + [name for name in ROOT_PAGES if (ROOT / name).is_file()]


def entries(source: str = "docs/README.md") -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Yield headings, title and path in the repository of each entry of an index page."""
    headings: tuple[str, ...] = ()
    for line in (ROOT / source).read_text(encoding="utf-8").splitlines():
        if heading := _HEADING.match(line):
            headings = (*headings[: len(heading[1]) - 2], heading[2])
        elif row := _ROW.match(line):
            target = resolve(source, row[2])
            if target.endswith("/README.md"):
                yield (*headings, row[1]), "", target
                yield from (((*headings, row[1], *below), title, path) for below, title, path in entries(target))
            else:
                yield headings, "" if row[1].isdigit() else row[1], target  # a number is no title: that of the page is used


def navigation(extra: dict[str, list[Entry]]) -> list[Entry]:
    """Return the navigation as in mkdocs.yml.

    Args:
        extra: Entries of pages that the build makes, by the part that they are appended to.
    """
    top: list = [{"Home": "index.md"}]
    for headings, title, path in entries():
        part = top
        for heading in headings:
            found = next((entry[heading] for entry in part if isinstance(entry, dict) and heading in entry), None)
            if found is None:
                found = []
                part.append({heading: found})
            part = found
        part.append({title: site_path(path)} if title else site_path(path))
    for name, more in extra.items():
        found = next((entry[name] for entry in top if name in entry), None)
        top.append({name: more}) if found is None else found.extend(more)
    return top


def write_pages(folder: Path) -> None:
    """Write all pages, the files to which they link and the images to the folder of the site's sources."""
    done: set[str] = set()
    waiting = page_sources()
    while waiting:
        source = waiting.pop()
        if source in done or source == "README.md":
            continue
        done.add(source)
        path = folder / site_path(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith((".md", ".ipynb")):
            path.write_text(with_site_links(source, read_page(source), waiting.append), encoding="utf-8")
        elif source.startswith("docs/"):
            path.write_bytes((ROOT / source).read_bytes())
        else:
            path.write_text(source_page(source), encoding="utf-8")
