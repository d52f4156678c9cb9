"""Generated pages are those that the docstrings and parsers of today give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("reference-results-keys.md", "reference-commands.md")


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_reference", ROOT / "tools" / "generate_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_not_stale(generator, name):
    page = ROOT / "docs" / name
    assert page.read_text(encoding="utf-8") == generator.pages()[page], "run: python tools/generate_reference.py"


def test_every_registered_transform_has_its_part(generator):
    from karsl.datasets import transforms
    from karsl.registry import TRANSFORMS

    shown = {cls.__name__ for classes in generator.by_module().values() for cls in classes}
    exported = set(transforms.__all__) - {"ClipBatch", "ClipMeta", "KeypointTransform", "MapLabels"}
    assert shown == exported | {name for name, cls in TRANSFORMS.module_dict.items() if cls.__module__.startswith("karsl.")}


def test_a_docstring_is_split_into_prose_keys_and_arguments(generator):
    doc = """Do it.

    And more.

    Required Keys:
        keypoint, skeleton
    Added Keys:
        flip: bool, whether
            it was.

    Source: A 2016,
        https://a.example
    """
    parts = generator.sections(doc)
    assert parts[""] == "Do it.\n\nAnd more."
    assert generator.entries(parts["Required Keys"]) == {"keypoint": "", "skeleton": ""}
    assert generator.entries(parts["Added Keys"]) == {"flip": "bool, whether it was."}
    assert parts["Source"].split() == ["A", "2016,", "https://a.example"]
