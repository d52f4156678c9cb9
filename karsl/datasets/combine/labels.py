"""Labels of one dataset as labels of another list of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from karsl.datasets.transforms.base import KeypointTransform, Params
from karsl.errors import ConfigError


class SetLabels(KeypointTransform):
    """A step that replaces `label`.

    Args:
        lookup: int64 (K,), the new label of each old one; -1 has none.

    Example:
        >>> SetLabels(np.array([4, 2]))({"label": 1})
        {'label': 2}
    """

    def __init__(self, lookup: np.ndarray) -> None:
        self.lookup = lookup

    def __call__(self, results: dict) -> dict:
        """The results with the new label; those without one stay as they are."""
        if results.get("label") is None:
            return results
        return {**results, **self.apply(results, {})}

    def apply(self, results: dict, params: Params) -> dict:
        return {"label": int(self.lookup[int(results["label"])])}

    def __repr__(self) -> str:
        return f"SetLabels({len(self.lookup)} classes)"


def relabelled(record: dict, steps: Sequence[Callable]) -> dict:
    """A record with the label that its sample has after the steps above."""
    for step in steps:
        if isinstance(step, SetLabels):
            record = step(record)
    return record


def relabelled_all(labels: np.ndarray, steps: Sequence[Callable]) -> np.ndarray:
    """The same for int64 (N,) labels."""
    for step in steps:
        if isinstance(step, SetLabels):
            labels = step.lookup[labels]
    return labels


def name_labels(
    classes: Sequence[str], targets: Sequence[str], aliases: Mapping[str, str] | None = None, *, where: str
) -> np.ndarray:
    """For each class its place in other classes, by name.

    Where a list has a name twice, as KArSL's has two signs glossed 'nephew', the second goes to the second.

    Args:
        classes: Of a dataset.
        targets: To go to.
        aliases: Class name to the name it has in `targets`.
        where: Names the dataset in the error.

    Raises:
        ConfigError: A class that `targets` lacks.

    Example:
        >>> name_labels(["hola", "yo"], ["i", "hello"], {"hola": "hello", "yo": "i"}, where="x")
        array([1, 0])
    """
    place = {name: number for number, name in enumerate(_numbered(targets))}
    wanted = _aliased(classes, aliases)
    lacking = [name for name, _ in (w for w in wanted if w not in place)]
    if lacking:
        raise ConfigError(
            f"{where}: classes {lacking[:5]} are not among the {len(place)} to go to; "
            "add them, give aliases={old: new}, or filter their clips out"
        )
    return np.array([place[name] for name in wanted], dtype=np.int64)


def union_of(all_classes: Sequence[Sequence[str]], aliases: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Every class name once, in the order of first appearance; twice where one list has it twice.

    Example:
        >>> union_of([["hello", "thanks"], ["hola", "i"]], {"hola": "hello"})
        ('hello', 'thanks', 'i')
    """
    return tuple(name for name, _ in dict.fromkeys(pair for classes in all_classes for pair in _aliased(classes, aliases)))


def _aliased(classes: Sequence[str], aliases: Mapping[str, str] | None) -> list[tuple[str, int]]:
    return [((aliases or {}).get(name, name), number) for name, number in _numbered(classes)]


def _numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Each name with how often it occurred before."""
    seen: dict[str, int] = {}
    pairs = []
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        pairs.append((name, seen[name]))
    return pairs
