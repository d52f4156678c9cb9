"""Metainfo and skeleton that the children of a dataset wrapper share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.datasets.tree import Node, leaf_datasets
from karsl.errors import ConfigError, SkeletonError, pluralize, type_name
from karsl.formats.folders import class_name
from karsl.skeletons import Skeleton


def common_metainfo(dataset: Node, ignore_keys: Collection[str] = ()) -> dict:
    """Merge the metainfo of the children.

    A key that only some children have is included, and one with different values is left out, but `dataset_name`: the
    names are joined.

    Args:
        dataset: The wrapper.
        ignore_keys: Keys whose value is that of the first child that has them.

    Raises:
        ConfigError: If children have different `classes`.
    """
    infos = [dict(getattr(child, "metainfo", None) or {}) for child in dataset.children]
    if len(infos) == 1:
        return infos[0]
    if "classes" not in ignore_keys:
        _check_classes(dataset, infos)
    common: dict[str, Any] = {}
    for key in dict.fromkeys(k for info in infos for k in info):
        values = [info[key] for info in infos if key in info]
        if key in (*ignore_keys, "classes") or all(_equal(values[0], v) for v in values[1:]):
            common[key] = values[0]
        elif key == "dataset_name":
            common[key] = " + ".join(dict.fromkeys(map(str, values)))
    return common


def _check_classes(dataset: Node, infos: list[dict]) -> None:
    known = [(number, info["classes"]) for number, info in enumerate(infos) if info.get("classes") is not None]
    for number, classes in known[1:]:
        first, expected = known[0]
        if [class_name(str(name)) for name in expected] != [class_name(str(name)) for name in classes]:
            a, b = (f"{dataset.child_name(n)} ({type_name(dataset.children[n])})" for n in (first, number))
            raise ConfigError(
                f"{type_name(dataset)}: {a} has {_shorten(expected)} and {b} has {_shorten(classes)}, so the same label "
                "would mean different signs; use labels='union' to give classes of the same name one label, "
                "labels='separate' to keep all classes apart, and aliases={'hola': 'hello'} to join names"
            )


def common_skeleton(dataset: Any, *, only_if_packed: bool = False) -> Skeleton | None:
    """Return the skeleton of all samples of a wrapper; None where no dataset below has one.

    Args:
        dataset: The wrapper.
        only_if_packed: Return None if some samples are not packed yet: a transform above may still convert them.

    Raises:
        SkeletonError: If samples of the datasets below have different keypoints.
    """
    if only_if_packed and not all(_is_packed(leaf, steps) for _, leaf, steps in leaf_datasets(dataset)):
        return None
    found = iter(dataset.output_skeletons().items())
    first, expected = next(found, ("", None))
    for path, skeleton in found:
        if expected is not None and skeleton.names != expected.names:
            raise SkeletonError(
                f"{first} ends with {expected.num_keypoints} keypoints of {expected.name!r} and {path} with "
                f"{skeleton.num_keypoints} of {skeleton.name!r}; put SelectKeypoints(skeleton={expected.name!r}, "
                "allow_missing=True) into the pipeline of each"
            )
    return expected


def _is_packed(leaf: Any, steps: tuple) -> bool:
    pipeline = getattr(getattr(leaf, "pipeline", None), "transforms", ())
    return any(isinstance(step, PackKeypointInputs) for step in (*pipeline, *steps))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return list(a) == list(b)  # an annotation file has lists where a class has tuples
    return bool(a == b)


def _shorten(classes: Any) -> str:
    shown = ", ".join(map(repr, list(classes)[:3]))
    return f"{pluralize(len(classes), 'class')} ({shown}{', ...' if len(classes) > 3 else ''})"
