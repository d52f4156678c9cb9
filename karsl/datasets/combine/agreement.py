"""What members of a combinator must have in common, and what to do where they have not."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from karsl.datasets.combine.leaves import leaves_of
from karsl.datasets.transforms.formatting import PackKeypointInputs
from karsl.errors import ConfigError, SkeletonError, type_name
from karsl.skeletons import Skeleton

if TYPE_CHECKING:
    from karsl.datasets.combine.combinator import Combinator
    from karsl.datasets.combine.members import Members


def common_metainfo(dataset: Members, ignore_keys: Collection[str] = ()) -> dict:
    """What members say of themselves: of one, all of it; of several, what they do not contradict.

    Names of datasets are joined. A key that only some have is kept; one that they fill differently is left out.

    Args:
        dataset: Whose members are asked.
        ignore_keys: Taken from the first member that has them, whatever the others say.

    Raises:
        ConfigError: Members have different `classes`.
    """
    infos = [dict(getattr(member, "metainfo", None) or {}) for member in dataset.members]
    if len(infos) == 1:
        return infos[0]
    if "classes" not in ignore_keys:
        _same_classes(dataset, infos)
    common: dict[str, Any] = {}
    for key in dict.fromkeys(k for info in infos for k in info):
        values = [info[key] for info in infos if key in info]
        if key in ignore_keys or all(_equal(values[0], v) for v in values[1:]):
            common[key] = values[0]
        elif key == "dataset_name":
            common[key] = " + ".join(dict.fromkeys(map(str, values)))
    return common


def _same_classes(dataset: Members, infos: list[dict]) -> None:
    known = [(number, info["classes"]) for number, info in enumerate(infos) if info.get("classes") is not None]
    for number, classes in known[1:]:
        first, expected = known[0]
        if not _equal(expected, classes):
            a, b = (f"{dataset.member_name(n)} ({type_name(dataset.members[n])})" for n in (first, number))
            raise ConfigError(
                f"{type_name(dataset)}: {a} has {_brief(expected)} and {b} has {_brief(classes)}; the same label would mean "
                "different signs: labels='union' maps classes of the same name to one label, labels='separate' keeps all "
                "apart, and aliases={'hola': 'hello'} joins names"
            )


def one_skeleton(dataset: Combinator, *, only_if_packed: bool = False) -> Skeleton | None:
    """The skeleton that all clips end with; None where no dataset below knows one.

    Args:
        dataset: The tree.
        only_if_packed: Clips that are not packed yet may still be brought to one skeleton above: then None.

    Raises:
        SkeletonError: They end with different keypoints.
    """
    if only_if_packed and not all(_is_packed(leaf, steps) for _, leaf, steps in leaves_of(dataset)):
        return None
    found = iter(dataset.output_skeletons().items())
    first, expected = next(found, ("", None))
    for path, skeleton in found:
        if expected is not None and skeleton.names != expected.names:
            raise SkeletonError(
                f"{first} ends with {expected.num_keypoints} keypoints of {expected.name!r} and {path} with "
                f"{skeleton.num_keypoints} of {skeleton.name!r}; put SelectKeypoints(skeleton={expected.name!r}, "
                "absent='missing') into the pipeline of each"
            )
    return expected


def _is_packed(leaf: Any, steps: tuple) -> bool:
    pipeline = getattr(getattr(leaf, "pipeline", None), "transforms", ())
    return any(isinstance(step, PackKeypointInputs) for step in (*pipeline, *steps))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return list(a) == list(b)  # an annotation file gives lists where a class gives tuples
    return bool(a == b)


def _brief(classes: Any) -> str:
    shown = ", ".join(map(repr, list(classes)[:3]))
    return f"{len(classes)} classes ({shown}{', ...' if len(classes) > 3 else ''})"
