"""Lookup of skeletons by name, registration, and descriptions of skeletons in configs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from karsl.errors import SkeletonError, did_you_mean
from karsl.plugins import load_plugins
from karsl.skeletons import layouts, mediapipe
from karsl.skeletons.skeleton import Skeleton

_ALL: tuple[Callable[[], Skeleton], ...] = (
    *(mediapipe.karsl_184, mediapipe.holistic_543, layouts.msl_226, layouts.hand_42, layouts.mp_75, layouts.kaggle_543),
    *(
        layouts.asl_app_108,
        layouts.spoter_54,
        layouts.coco_17,
        layouts.openpose_137,
        layouts.halpe_136,
        layouts.ntu_25,
        layouts.mediapipe_553,
        layouts.coco_wholebody_133,
    ),
)
_FACTORIES: dict[str, Callable[[], Skeleton]] = {factory.__name__: factory for factory in _ALL}
_registered: dict[str, Skeleton] = {}

_EXAMPLES = "dict(name='karsl_184', select=['rh', 'lh']) or dict(name=..., parts=[('pose', [...]), ...], bones=[...])"


def skeleton_names() -> tuple[str, ...]:
    """Return the names that `get_skeleton` knows."""
    load_plugins()
    return (*_FACTORIES, *_registered)


def get_skeleton(name: str | Mapping[str, Any] | Skeleton) -> Skeleton:
    """Return a skeleton by name or description.

    Args:
        name: A name, `'karsl_184'`; a selection of keypoints, `dict(name='karsl_184', select=['rh', 'lh'])`; a full
            description, `dict(name='arms', parts=[('pose', [...])], bones=[...])`; or a `Skeleton`, which is returned.

    Raises:
        SkeletonError: If no skeleton has that name, or the dict has other keys or unknown names.

    Example:
        >>> get_skeleton("karsl_184").groups["rh"]
        slice(142, 163, None)
        >>> get_skeleton({"name": "karsl_184", "select": ["rh", "lh"]}).num_keypoints
        42
    """
    if isinstance(name, Skeleton):
        return name
    if isinstance(name, Mapping):
        return _from_description(name)
    if not isinstance(name, str):
        raise SkeletonError(f"skeleton={name!r}; expected a name, {_EXAMPLES}")
    if name in _registered:
        return _registered[name]
    if name in _FACTORIES:
        return _create(name)
    load_plugins()
    if name in _registered:
        return _registered[name]
    hint = did_you_mean(str(name), skeleton_names(), f"known: {', '.join(skeleton_names())}.")
    raise SkeletonError(f"no skeleton {name!r}{hint} Register your own in a module and pass it with --import MODULE")


@cache
def _create(name: str) -> Skeleton:
    return _FACTORIES[name]()


def _from_description(cfg: Mapping[str, Any]) -> Skeleton:
    keys = set(cfg)
    if keys == {"name", "select"} and _is_texts(cfg["select"]):
        return _select(get_skeleton(cfg["name"]), tuple(cfg["select"]))
    if keys in ({"name", "parts"}, {"name", "parts", "bones"}) and isinstance(cfg["name"], str):
        parts, bones = cfg["parts"], cfg.get("bones", ())
        is_named = _is_pairs(parts) and all(isinstance(group, str) and _is_texts(names) for group, names in parts)
        if is_named and _is_pairs(bones) and all(map(_is_texts, bones)):
            return Skeleton(cfg["name"], tuple((group, tuple(names)) for group, names in parts), bones)
    raise SkeletonError(f"skeleton={dict(cfg)!r}; expected a name, {_EXAMPLES}")


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_pairs(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in value)


@lru_cache(maxsize=64)
def _select(source: Skeleton, names: tuple[str, ...]) -> Skeleton:
    return source.select(names)


def register_skeleton(skeleton: Skeleton) -> Skeleton:
    """Add a skeleton, so that `get_skeleton` finds it by its name.

    Raises:
        SkeletonError: If another skeleton has that name.
    """
    known = _registered.get(skeleton.name)
    if skeleton.name in _FACTORIES or known not in (None, skeleton):
        raise SkeletonError(f"skeleton {skeleton.name!r} exists already; choose another name")
    _registered[skeleton.name] = skeleton
    return skeleton


def describe_skeleton(skeleton: Skeleton, base: Skeleton | None = None) -> str | dict[str, Any]:
    """Return the shortest description from which `get_skeleton` creates the same keypoints, groups and bones.

    Args:
        skeleton: Skeleton to describe.
        base: Skeleton that it may be a selection of.

    Returns:
        A name, a dict with `name` and `select`, or a dict with `name`, `parts` and `bones`.

    Example:
        >>> karsl_184 = get_skeleton("karsl_184")
        >>> describe_skeleton(karsl_184.select(["rh", "left_wrist"]), karsl_184)
        {'name': 'karsl_184', 'select': ['left_wrist', 'rh']}
    """
    if _is_known(skeleton):
        return skeleton.name
    if base is not None and _is_known(base) and set(skeleton.names) <= set(base.names):
        groups = dict(base.parts)
        selection = [item for group, names in skeleton.parts for item in ([group] if groups.get(group) == names else names)]
        selected = base.select(selection)
        if (selected.parts, selected.bones) == (skeleton.parts, skeleton.bones):
            return {"name": base.name, "select": selection}
    parts = [[group, list(names)] for group, names in skeleton.parts]
    return {"name": skeleton.name, "parts": parts, "bones": [list(bone) for bone in skeleton.bones]}


def _is_known(skeleton: Skeleton) -> bool:
    return skeleton.name in skeleton_names() and get_skeleton(skeleton.name) == skeleton
