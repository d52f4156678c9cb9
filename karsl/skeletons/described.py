"""Skeletons written down in a config: a selection from a known one, or names and bones in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from karsl.errors import SkeletonError
from karsl.skeletons.skeleton import Skeleton

_FORMS = "dict(name='karsl_184', select=['rh', 'lh']) or dict(name=..., parts=[('pose', [...]), ...], bones=[...])"


@lru_cache(maxsize=64)
def _selected(source: Skeleton, wanted: tuple[str, ...]) -> Skeleton:
    return source.select(wanted)


def from_description(cfg: Mapping[str, Any], lookup: Callable[[str], Skeleton]) -> Skeleton:
    """Build what a dict describes.

    Args:
        cfg: `name` and `select`, groups or keypoints of the skeleton of that name; or `name`, `parts` and maybe `bones` of
            one that is registered nowhere.
        lookup: Finds a skeleton by name.

    Raises:
        SkeletonError: Other keys, or names that are not there.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> from_description({"name": "karsl_184", "select": ["rh", "lh"]}, get_skeleton).num_keypoints
        42
    """
    keys = set(cfg)
    if keys == {"name", "select"} and isinstance(cfg["select"], (list, tuple)):
        return _selected(lookup(cfg["name"]), tuple(cfg["select"]))
    if keys in ({"name", "parts"}, {"name", "parts", "bones"}):
        return Skeleton(cfg["name"], tuple((group, tuple(names)) for group, names in cfg["parts"]), cfg.get("bones", ()))
    raise SkeletonError(f"skeleton={dict(cfg)!r}; expected a name, {_FORMS}")


def describe(skeleton: Skeleton, base: Skeleton | None, known: Callable[[str], Skeleton | None]) -> str | dict[str, Any]:
    """The shortest form that a config can hold, of which `get_skeleton` makes the same points, groups and bones again.

    Args:
        skeleton: To describe.
        base: What it may be a selection of.
        known: Gives the skeleton of a name, or None.

    Example:
        >>> from karsl.skeletons import describe_skeleton, get_skeleton
        >>> karsl_184 = get_skeleton("karsl_184")
        >>> describe_skeleton(karsl_184.select(["rh", "left_wrist"]), karsl_184)
        {'name': 'karsl_184', 'select': ['left_wrist', 'rh']}
    """
    if known(skeleton.name) == skeleton:
        return skeleton.name
    if base is not None and known(base.name) == base and set(skeleton.names) <= set(base.names):
        whole = dict(base.parts)
        wanted = [w for group, names in skeleton.parts for w in ([group] if whole.get(group) == names else names)]
        same = base.select(wanted)
        if (same.parts, same.bones) == (skeleton.parts, skeleton.bones):
            return {"name": base.name, "select": wanted}
    parts = [[group, list(names)] for group, names in skeleton.parts]
    return {"name": skeleton.name, "parts": parts, "bones": [list(bone) for bone in skeleton.bones]}
