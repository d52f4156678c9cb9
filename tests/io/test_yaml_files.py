"""YAML is plain data: no code, and no values without end."""

from __future__ import annotations

import pytest
import yaml

from karsl.engine import load_config
from karsl.errors import ConfigError
from karsl.io.yaml_files import load_yaml


def laughs(levels: int) -> str:
    """A list of lists in which each level has the one before ten times."""
    lines = [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(["x0: &x0 [1]", *lines])


def test_aliases_share_values():
    assert load_yaml("a: &x {b: [1, 2.5, null]}\nc: *x\nd: {<<: *x, e: 3}") == {
        "a": {"b": [1, 2.5, None]},
        "c": {"b": [1, 2.5, None]},
        "d": {"b": [1, 2.5, None], "e": 3},
    }
    assert load_yaml(laughs(4))["x3"][9][9][9] == [1]


@pytest.mark.parametrize("text", [laughs(12), "a: &x [*x]", "&x {a: [1, *x]}"], ids=["laughs", "list", "dict"])
def test_values_without_end_are_an_error(text):
    with pytest.raises(yaml.YAMLError, match="aliases stand for more than 10000000 values"):
        load_yaml(text)


def test_brackets_without_end_are_an_error():
    assert load_yaml("[" * 99 + "]" * 99)
    with pytest.raises(yaml.YAMLError, match="brackets nest deeper than 100 levels"):
        load_yaml("a: " + "[" * 100_000)


def test_a_config_of_values_without_end_is_one_sentence(tmp_path):
    (tmp_path / "laughs.yaml").write_text(laughs(12))
    with pytest.raises(ConfigError, match="laughs.yaml': YAMLError: aliases stand for more"):
        load_config(tmp_path / "laughs.yaml")
