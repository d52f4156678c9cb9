"""Parts of the build of the documentation site that need no generator of sites."""

from __future__ import annotations

import json
import re

import pytest

from tools.site import api, check, docstrings, layers, pages


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A small repository: an index page, two pages, a folder of pages, a notebook and a script."""
    files = {
        "README.md": "# project\n",
        "CONTRIBUTING.md": "# Contributing\n",
        "tests/test_a.py": "A = '```'\n",
        "docs/README.md": "## Learn\n| [One](one.md) | |\n## How-to\n### Data\n| [Two](two.md) | |\n| [Why](why/) | |\n",
        "docs/one.md": "# One\n",
        "docs/two.md": "# Two\n",
        "docs/why/README.md": "| [0001](0001-a.md) | A |\n",
        "docs/why/0001-a.md": "# A\n",
        "docs/play.ipynb": json.dumps(
            {
                "cells": [
                    {"cell_type": "markdown", "source": ["# Play\n", "text"]},
                    {"cell_type": "code", "source": ["a = 1"]},
                ]
            }
        ),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    return tmp_path


def leaves(navigation) -> set[str]:
    """Return the pages of a navigation."""
    if isinstance(navigation, str):
        return {navigation}
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return set().union(*map(leaves, parts))


def test_every_page_of_docs_and_of_the_root_is_in_the_navigation():
    assert {pages.site_path(source) for source in pages.page_sources()} == leaves(pages.navigation({}))


def test_the_headings_and_tables_of_the_index_are_the_navigation(root):
    assert pages.navigation({"Learn": ["made.md"], "API": ["api/index.md"]}) == [
        {"Home": "index.md"},
        {"Learn": [{"One": "one.md"}, "made.md"]},
        {"How-to": [{"Data": [{"Two": "two.md"}, {"Why": ["why/index.md", "why/0001-a.md"]}]}]},
        {"API": ["api/index.md"]},
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](../one.md#x)", "[a](../one.md#x)"),
        ("[a](../README.md)", "[a](../index.md)"),
        ("[a](.)", "[a](index.md)"),
        ("[a](../../README.md)", "[a](../index.md)"),
        ("[a](../../CONTRIBUTING.md#b)", "[a](../contributing.md#b)"),
        ("[a](../../tests/test_a.py)", "[a](../source/tests/test_a.py.md)"),
        ("[a](../play.ipynb)", "[a](../play.md)"),
        ("[a](https://b.example/c.md) [d](#e)", "[a](https://b.example/c.md) [d](#e)"),
        ("```md\n[a](../README.md)\n```\n", "```md\n[a](../README.md)\n```\n"),
        ("<!-- no-run -->\n```python\na\n```\n", "```python\na\n```\n"),
    ],
)
def test_a_link_leads_to_the_page_of_the_site(root, text, expected):
    assert pages.with_site_links("docs/why/0001-a.md", text, lambda _: None) == expected


def test_a_link_to_no_file_is_an_error(root):
    with pytest.raises(ValueError, match=r"docs/one.md links to 'three.md', which is no file of the repository"):
        pages.with_site_links("docs/one.md", "[a](three.md)", lambda _: None)


def test_pages_notebooks_and_linked_files_are_written(root, tmp_path):
    (root / "docs" / "one.md").write_text("[a](../tests/test_a.py)", encoding="utf-8")
    pages.write_pages(tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.md")}
    assert written == {
        "index.md", "one.md", "two.md", "why/index.md", "why/0001-a.md", "play.md", "contributing.md",
        "source/tests/test_a.py.md",
    }  # fmt: skip
    assert (tmp_path / "out" / "play.md").read_text() == "# Play\ntext\n\n```python\na = 1\n```\n"
    assert "\n~~~~~~python\nA = '```'\n~~~~~~\n" in (tmp_path / "out" / "source" / "tests" / "test_a.py.md").read_text()


def test_the_diagram_has_every_package_and_arrows_lead_down():
    rank = {name: number for number, group in enumerate(layers.layers()) for name in group}
    graph = layers.imports()
    assert {"cli", "datasets", "io"} <= set(graph) <= set(rank)
    assert [(name, child) for name, children in graph.items() for child in children if rank[child] >= rank[name]] == []
    assert set(re.findall(r">(\w+)</text>", layers.svg(graph))) == set(rank)


def test_an_arrow_that_a_longer_path_implies_is_left_out():
    assert layers.direct({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_the_reference_has_every_public_module():
    shown = {f"{package}.{module}" for package in api.packages() for module in api.modules(package)}
    found = {
        ".".join(path.relative_to(api.ROOT).with_suffix("").parts)
        for path in (api.ROOT / "karsl").rglob("*.py")
        if not path.stem.startswith("_")
    }
    assert shown == found


def test_sections_of_a_docstring_get_the_form_that_the_parser_knows():
    text = (
        "Do it.\n\nRequired Keys:\n    keypoint, skeleton\nAdded Keys:\n    flip: bool, whether\n        it was.\n\n"
        "Args:\n    a, b: Numbers.\n\nExample:\n    >>> 1\n    1\n\nSource: A 2016,\n    https://a.example"
    )
    assert docstrings.normalized(text) == (
        "Do it.\n\n**Required keys**\n\n`keypoint`, `skeleton`\n\n**Added keys**\n\n- `flip`: bool, whether it was.\n\n"
        "Args:\n    a: Numbers.\n    b: Numbers.\n\nExamples:\n    >>> 1\n    1\n\n**Source:** A 2016, https://a.example"
    )


def test_dead_links_placeholders_and_loads_from_servers_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text(
        '<a href="a/#there"><a href="a/#absent"><a href="b/"><a href="https://c.example"><script src="https://d.example/e.js">'
    )
    (tmp_path / "a" / "index.html").write_text(
        '<h1 id="there"><a href=".."><a href="/index.html"><img src="../f.png"> <class>/<a></a>'
    )
    assert check.problems(tmp_path) == [
        "a/index.html has an element <class>; escape it as &lt;class>",
        "a/index.html links to ../f.png, which is no file",
        "index.html loads https://d.example/e.js",
        "index.html links to a/#absent, but there is no such anchor",
        "index.html links to b/, which is no file",
    ]
