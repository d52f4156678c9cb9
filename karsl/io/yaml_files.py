"""YAML as plain data: no tag runs code, and a few bytes do not stand for values without end."""

from __future__ import annotations

from typing import Any

import yaml  # required by MMEngine

_MAX_VALUES = 10_000_000


class PlainLoader(yaml.SafeLoader):
    """Loader of plain data whose aliases may not multiply to more than ten million values.

    Raises:
        YAMLError: If the text is not YAML, has a tag of another type, or describes too many values.

    Example:
        >>> yaml.load("a: &x [1, 2]\\nb: *x", PlainLoader)
        {'a': [1, 2], 'b': [1, 2]}
    """

    def compose_document(self) -> Any:
        """Compose the nodes of a document, and check their number."""
        document = super().compose_document()
        _count_values(document, {})
        return document


def load_yaml(text: str) -> Any:
    """Parse YAML to plain data, see `PlainLoader`."""
    return yaml.load(text, PlainLoader)


def _count_values(node: Any, known: dict[int, int]) -> int:
    """Return the number of values if nothing were shared between the lists and dicts of a document."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _MAX_VALUES  # of a list that contains itself
    children = node.value if isinstance(node, yaml.SequenceNode) else [child for pair in node.value for child in pair]
    count = 1 + sum(_count_values(child, known) for child in children)
    if count > _MAX_VALUES:
        raise yaml.YAMLError(f"aliases stand for more than {_MAX_VALUES} values, or for a list that contains itself")
    known[id(node)] = count
    return count
