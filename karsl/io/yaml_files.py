"""YAML as plain data: no tag runs code, and a few bytes do not stand for values without end."""

from __future__ import annotations

from typing import Any

import yaml  # required by MMEngine

_MAX_VALUES, _MAX_DEPTH = 10_000_000, 100


class PlainLoader(yaml.SafeLoader):
    """Loader of plain data whose aliases may not multiply to more than ten million values, and brackets to 100 levels.

    Raises:
        YAMLError: If the text is not YAML, has a tag of another type, describes too many values, or nests too deeply.

    Example:
        >>> yaml.load("a: &x [1, 2]\\nb: *x", PlainLoader)
        {'a': [1, 2], 'b': [1, 2]}
    """

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        """Read an opening bracket; the time of the parser grows with the square of their number."""
        if self.flow_level >= _MAX_DEPTH:
            raise yaml.YAMLError(f"brackets nest deeper than {_MAX_DEPTH} levels")
        super().fetch_flow_collection_start(token_class)

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
