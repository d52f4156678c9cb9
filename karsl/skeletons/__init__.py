"""Skeletons: what each keypoint of an array is called, which side it is on, and what it is joined to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from karsl.errors import SkeletonError, did_you_mean
from karsl.skeletons import corpora, mediapipe, openpose
from karsl.skeletons.described import describe, from_description
from karsl.skeletons.skeleton import Skeleton, mirror_name

__all__ = ["Skeleton", "describe_skeleton", "get_skeleton", "mirror_name", "register_skeleton", "skeleton_names"]

_ALL: tuple[Callable[[], Skeleton], ...] = (
    *(mediapipe.karsl_184, mediapipe.holistic_543, corpora.msl_226, corpora.hand_42, corpora.mp_75, corpora.kaggle_543),
    *(corpora.asl_app_108, corpora.spoter_54, corpora.coco_17, openpose.openpose_137),
)
_MAKERS: dict[str, Callable[[], Skeleton]] = {maker.__name__: maker for maker in _ALL}
_OWN: dict[str, Skeleton] = {}


def skeleton_names() -> tuple[str, ...]:
    """Names that `get_skeleton` knows."""
    return (*_MAKERS, *_OWN)


@cache
def _shipped(name: str) -> Skeleton:
    return _MAKERS[name]()


def get_skeleton(name: str | Mapping[str, Any] | Skeleton) -> Skeleton:
    """Look a skeleton up by name; a `Skeleton` passes through, a dict as in a config describes one.

    Args:
        name: `'karsl_184'`; or some of its points, `dict(name='karsl_184', select=['rh', 'lh'])`; or one that is registered
            nowhere, `dict(name='arms', parts=[('pose', [...])], bones=[...])`.

    Raises:
        SkeletonError: No skeleton has that name, or the dict describes none.

    Example:
        >>> get_skeleton("karsl_184").groups["rh"]
        slice(142, 163, None)
    """
    if isinstance(name, Skeleton):
        return name
    if isinstance(name, Mapping):
        return from_description(name, get_skeleton)
    if name in _OWN:
        return _OWN[name]
    if name in _MAKERS:
        return _shipped(name)
    hint = did_you_mean(str(name), skeleton_names(), f"known: {', '.join(skeleton_names())}.")
    raise SkeletonError(f"no skeleton {name!r}{hint} If it is yours, register it in a module and give --import MODULE")


def describe_skeleton(skeleton: Skeleton, base: Skeleton | None = None) -> str | dict[str, Any]:
    """What to write into a config for `get_skeleton` to give these points: a name, a selection from `base`, or all names."""
    return describe(skeleton, base, lambda name: get_skeleton(name) if name in skeleton_names() else None)


def register_skeleton(skeleton: Skeleton) -> Skeleton:
    """Make a skeleton of one's own known by its name.

    Raises:
        SkeletonError: Another skeleton has that name already.
    """
    known = _OWN.get(skeleton.name)
    if skeleton.name in _MAKERS or known not in (None, skeleton):
        raise SkeletonError(f"skeleton {skeleton.name!r} exists already; choose another name")
    _OWN[skeleton.name] = skeleton
    return skeleton
