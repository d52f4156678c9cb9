"""What docs/reference-config.md names is there, and none of the configs or filters is left out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.datasets.records import FILTERS
from karsl.engine import load_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference-config.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    """Of the table below a heading; one that is called otherwise now would leave nothing to test."""
    part = PAGE.partition(f"{heading}\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE)
    assert found, f"no table below {heading!r}"
    return found


@pytest.mark.parametrize("key", first_column("## Frequently changed keys"))
def test_a_key_is_in_the_shipped_config(key):
    node = load_config(ROOT / "configs" / "karsl502_signer_dependent.py")
    for name in key.split("."):
        assert name in node
        node = node[name]


def test_arguments_of_a_dataset_exist():
    known = {*inspect.signature(KeypointDataset).parameters, *inspect.signature(KArSLDataset).parameters}
    assert set(first_column("## Arguments of a dataset")) <= known


def test_every_filter_is_described():
    assert set(first_column("## filter_cfg")) == {*FILTERS, "part"}


def test_every_config_is_named():
    shipped = {f"configs/{path.name}" for path in (ROOT / "configs").glob("*.py") if not path.stem.endswith("_local")}
    assert set(re.findall(r"^\| `(configs/[^`]+)` \|", PAGE, re.MULTILINE)) == shipped
