"""Wrappers that change the samples of a dataset: further transforms, labels of another list of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from karsl.datasets.combine.base import SingleWrapper, wrap
from karsl.datasets.pipeline import Pipeline, output_skeleton, step_name
from karsl.datasets.transforms.base import KeypointTransform
from karsl.datasets.transforms.labels import MapLabels
from karsl.errors import ConfigError, type_name
from karsl.formats.folders import class_name
from karsl.registry import DATASETS


@DATASETS.register_module()
class MapDataset(SingleWrapper):
    """A dataset whose samples go through further transforms.

    The transforms continue the pipeline below as if they were part of it: with the same random numbers and, if they
    support batches, in the same pass over a batch. A transform with `bind(metainfo, skeleton)` gets these of the dataset.

    Args:
        dataset: Dataset or config.
        transform: Config of a transform, callable, `'module:function'`, or a list of these.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If a transform cannot be built.
    """

    def __init__(
        self,
        dataset: Any,
        transform: str | dict | Callable | Sequence[str | dict | Callable],
        *,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        transforms = transform if isinstance(transform, Sequence) and not isinstance(transform, str) else [transform]
        self.steps = tuple(Pipeline([_load_transform(step) for step in transforms]).transforms)
        if not self.steps:
            raise ConfigError(f"{type_name(self)}: transform={transform!r}; expected at least one transform")
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        if not any(map(_can_bind, self.steps)):
            return
        below = wrap(self.dataset)
        below.full_init()
        skeleton, steps = below.output_skeleton, list(self.steps)
        for position, step in enumerate(steps):
            if _can_bind(step):
                steps[position] = step.bind(below.metainfo, skeleton)  # type: ignore[attr-defined]
            skeleton = None if skeleton is None else output_skeleton(step, skeleton)
        self.steps = tuple(steps)

    def _describe(self) -> str:
        return ", ".join(map(step_name, self.steps))


def _can_bind(step: Callable) -> bool:
    return isinstance(step, KeypointTransform) and hasattr(step, "bind")


def _load_transform(transform: Any) -> Any:
    if isinstance(transform, str):
        return import_callable(transform)
    if isinstance(transform, Mapping) and isinstance(name := transform.get("type"), str) and ":" in name:
        return {**transform, "type": import_callable(name)}
    return transform


def import_callable(name: str) -> Any:
    """Return what `'module:name'` refers to.

    Raises:
        ConfigError: If it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{name!r} cannot be imported ({error}); expected 'package.module:function'") from error


@DATASETS.register_module()
class RelabelDataset(SingleWrapper):
    """A dataset whose labels are those of another list of classes, matched by class name.

    Args:
        dataset: Dataset or config.
        classes: Class names of the new labels; None keeps the dataset's, with `aliases` applied.
        aliases: Class names of the dataset and their names in `classes`.
        prefix: Prefix added to the class names of the dataset first.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If a class of the dataset is not among `classes`, or the dataset has no `classes`.
    """

    accepts_empty_children = True

    def __init__(
        self,
        dataset: Any,
        classes: Sequence[str] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        prefix: str = "",
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self.classes, self.aliases, self.prefix = classes, dict(aliases or {}), prefix
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    @property
    def allow_empty(self) -> bool:  # type: ignore[override]
        """True if the dataset below was asked to be empty."""
        return getattr(self.dataset, "allow_empty", False)

    def _prepare(self) -> None:
        where = f"{type_name(self)}: dataset ({type_name(self.dataset)})"
        self._lookup = map_labels(self._own_classes(), self._targets(), self.aliases, where=where)
        self.steps = (MapLabels(self._lookup),)

    def _own_classes(self) -> list[str]:
        classes = (getattr(self.dataset, "metainfo", None) or {}).get("classes")
        if classes is None:
            raise ConfigError(
                f"{type_name(self)}: {type_name(self.dataset)} has no 'classes' in its metainfo; give it metainfo=..."
            )
        return [f"{self.prefix}{name}" for name in classes]

    def _targets(self) -> tuple[str, ...]:
        return merge_classes([self._own_classes()], self.aliases) if self.classes is None else tuple(self.classes)

    def _merge_metainfo(self) -> dict:
        """Return the dataset's metainfo with the new classes; lists by class are reordered, or dropped if incomplete."""
        info = super()._merge_metainfo()
        if not self.steps:
            return info
        targets = self._targets()
        for key in ("classes_ar", "signs"):
            values = dict(zip(self._lookup.tolist(), info.pop(key, ()), strict=False))
            if len(values) == len(targets):
                info[key] = tuple(values[number] for number in range(len(targets)))
        return info | {"classes": targets}

    def _describe(self) -> str:
        return f"classes={len(self._targets())}" if self._fully_initialized else "classes=?"


def map_labels(
    classes: Sequence[str], targets: Sequence[str], aliases: Mapping[str, str] | None = None, *, where: str
) -> np.ndarray:
    """Return the index of each class in another list of classes, matched by name, int64 (K,).

    Of two classes with one name, as KArSL has two signs glossed 'nephew', the second is matched with the second. Names are
    compared in Unicode's composed form.

    Args:
        classes: Class names of a dataset.
        targets: Class names to match.
        aliases: Class names and their names in `targets`.
        where: Name of the dataset for the error.

    Raises:
        ConfigError: If `targets` lacks a class.

    Example:
        >>> map_labels(["hola", "yo"], ["i", "hello"], {"hola": "hello", "yo": "i"}, where="x")
        array([1, 0])
    """
    index = {name: number for number, name in enumerate(_with_occurrence(targets))}
    names = _apply_aliases(classes, aliases)
    unknown = [name for name, occurrence in names if (name, occurrence) not in index]
    if unknown:
        raise ConfigError(
            f"{where}: classes {unknown[:5]} are not among the {len(index)} target classes; "
            "add them, give aliases={old: new}, or filter their clips out"
        )
    return np.array([index[name] for name in names], dtype=np.int64)


def merge_classes(class_lists: Sequence[Sequence[str]], aliases: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return every class name once, in order of first appearance; twice if one list has it twice.

    Example:
        >>> merge_classes([["hello", "thanks"], ["hola", "i"]], {"hola": "hello"})
        ('hello', 'thanks', 'i')
    """
    names = dict.fromkeys(name for classes in class_lists for name in _apply_aliases(classes, aliases))
    return tuple(name for name, _ in names)


def _apply_aliases(classes: Sequence[str], aliases: Mapping[str, str] | None) -> list[tuple[str, int]]:
    composed = {class_name(old): class_name(new) for old, new in (aliases or {}).items()}
    return [(composed.get(name, name), occurrence) for name, occurrence in _with_occurrence(classes)]


def _with_occurrence(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return each name, in composed form, with the number of its earlier occurrences."""
    counts: dict[str, int] = {}
    pairs = []
    for name in map(class_name, names):
        pairs.append((name, counts.get(name, 0)))
        counts[name] = counts.get(name, 0) + 1
    return pairs
