"""Texts and configs of array layouts: the table of known columns, and their parsing into the fields of `ArrayLayout`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from karsl.errors import ConfigError, did_you_mean
from karsl.schema import parse_json
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton

LAYOUTS: dict[str, str] = {
    "holistic_1662": "pose:33x4, face:468x3, lh:21x3, rh:21x3",
    "holistic_1692": "pose:33x4, face:478x3, lh:21x3, rh:21x3",
    "holistic_2172": "pose:33x4, face:468x4, lh:21x4, rh:21x4",
    "holistic_2212": "pose:33x4, face:478x4, lh:21x4, rh:21x4",
    "holistic_1629": "pose:33x3, face:468x3, lh:21x3, rh:21x3",
    "holistic_1659": "pose:33x3, face:478x3, lh:21x3, rh:21x3",
    "holistic_1086": "pose:33x2, face:468x2, lh:21x2, rh:21x2",
    "holistic_258": "pose:33x4, lh:21x3, rh:21x3",
    "holistic_225": "pose:33x3, lh:21x3, rh:21x3",
    "holistic_150": "pose:33x2, lh:21x2, rh:21x2",
    "holistic_126": "lh:21x3, rh:21x3",
    "holistic_84": "lh:21x2, rh:21x2",
    "holistic_132": "pose:33x4",
    "holistic_99": "pose:33x3",
    "msl_226": "pose:25x4, lh:21x3, rh:21x3",
}
"""Columns of common layouts by name. The number in a name is that of the columns of a frame."""

SCALES = ("shares", "pixels")
_MEDIAPIPE = {
    ("pose", 33): POSE_33,
    ("pose", 25): POSE_33[:25],
    **{("face", count): VERTEX_NAMES[:count] for count in (468, 478)},
    ("lh", 21): hand("left"),
    ("rh", 21): hand("right"),
}
_GROUP_NAMES = {"left_hand": "lh", "right_hand": "rh", "lefthand": "lh", "righthand": "rh", "body": "pose"}
_COLUMN = re.compile(r"(\w+)\s*:\s*(\d+)\s*x\s*(\d+)")
_GROUPS = re.compile(r"\w+\s*:\s*\d+(\s*,\s*\w+\s*:\s*\d+)*")
_ARRAY = re.compile(r"(\w+)\s*=\s*([^=,]+?)")
_GRAMMAR = (
    "expected a skeleton name, a name such as 'holistic_1662', columns such as 'pose:33x4, lh:21x3, rh:21x3', keypoints "
    "such as 'pose:33, lh:21, rh:21', or arrays such as 'pose=body_array, lh=left_array'; options follow after ';', as in "
    "'coco_17; axes=CTV; score=2'"
)


class Columns(NamedTuple):
    """Consecutive columns of a frame: `points` of a group, with `width` values each."""

    group: str
    points: int
    width: int


def parse_layout(value: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the layout that a text or a config describes, see `ArrayLayout.parse`.

    Raises:
        ConfigError: If the value describes no layout.
        SkeletonError: If a skeleton is unknown.
    """
    config = _parse_text(value) if isinstance(value, str) else value
    if not isinstance(config, Mapping):
        raise ConfigError(f"layout={config!r}; {_GRAMMAR}")
    return _from_config(config)


def _parse_text(text: str) -> dict[str, Any]:
    """Return the dict of a layout's text."""
    if text.lstrip().startswith("{"):
        try:
            return parse_json(text)
        except ValueError as error:
            raise ConfigError(f"layout={text!r} is not JSON ({error}); {_GRAMMAR}") from None
    what, *options = (part.strip() for part in text.split(";"))
    config: dict[str, Any] = {}
    for option in filter(None, options):
        key, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"layout={text!r}: option {option!r} has no value; {_GRAMMAR}")
        config[key.strip()] = _parse_option(key.strip(), value.strip(), text)
    if _GROUPS.fullmatch(what):
        return {"skeleton": what, **config}
    if what in LAYOUTS or _COLUMN.match(what):
        return {"columns": LAYOUTS.get(what, what), **config}
    if "=" in what:
        return {"arrays": what, **config}
    if what not in skeleton_names() and "name" not in what:
        hint = did_you_mean(what, (*LAYOUTS, *skeleton_names()))
        raise ConfigError(f"no layout {what!r}{hint or ';'} {_GRAMMAR}")
    return {"skeleton": what, **config}


def _parse_option(key: str, value: str, text: str) -> Any:
    if key in ("score", "person"):
        if value.lower() == "none":
            return None
        if not value.isdecimal():
            raise ConfigError(f"layout={text!r}: {key}={value!r}; expected a number")
        return int(value)
    if key == "size":
        return value.lower().split("x")
    return value


def _from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    known = ("skeleton", "columns", "arrays", "axes", "score", "scale", "size", "missing", "person")
    for key in config:
        if key not in known:
            raise ConfigError(f"layout: no key {key!r}{did_you_mean(str(key), known, 'known: ' + ', '.join(known))}")
    if not {"skeleton", "columns", "arrays"} & set(config):
        raise ConfigError(f"layout={dict(config)!r} names no keypoints; {_GRAMMAR}")
    columns, arrays = _parse_columns(config.get("columns") or ()), _parse_arrays(config.get("arrays") or ())
    skeleton = _skeleton_of(config.get("skeleton"), columns, arrays)
    options = {key: config[key] for key in ("score", "missing", "person") if key in config}
    axes = str(config.get("axes") or ("TD" if columns else "TVC")).upper()
    axes = axes[1:] if axes.startswith("N") else axes  # a stack is found by its number of axes
    size = _parse_size(config)
    return {"skeleton": skeleton, "columns": columns, "arrays": arrays, "axes": axes, "size": size, **options}


def _parse_columns(columns: str | Sequence[Any]) -> tuple[Columns, ...]:
    if not isinstance(columns, str):
        return tuple(Columns(_group(str(part[0])), int(part[1]), int(part[2])) for part in columns)
    parts = []
    for text in LAYOUTS.get(columns, columns).split(","):
        match = _COLUMN.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"layout: columns {text.strip()!r}; {_GRAMMAR}")
        parts.append(Columns(_group(match[1]), int(match[2]), int(match[3])))
    return tuple(parts)


def _parse_arrays(arrays: str | Mapping[str, str] | Sequence[Any]) -> tuple[tuple[str, str], ...]:
    if isinstance(arrays, str):
        matches = [_ARRAY.fullmatch(text.strip()) for text in arrays.split(",")]
        if None in matches:
            raise ConfigError(f"layout: arrays {arrays!r}; {_GRAMMAR}")
        arrays = [(match[1], match[2]) for match in matches if match]
    pairs = list(arrays.items()) if isinstance(arrays, Mapping) else arrays
    return tuple((_group(str(pair[0])), str(pair[1])) for pair in pairs)


def _group(name: str) -> str:
    return _GROUP_NAMES.get(name.lower(), name)


def _parse_size(config: Mapping[str, Any]) -> tuple[float, float] | None:
    scale = config.get("scale", "pixels" if config.get("size") else "shares")
    if scale not in SCALES:
        raise ConfigError(f"layout: scale={scale!r}{did_you_mean(str(scale), SCALES, 'expected shares or pixels')}")
    if scale == "shares":
        return None
    try:
        width, height = map(float, config.get("size") or ())
    except (TypeError, ValueError):
        width = height = 0.0
    if not (width > 0 and height > 0):
        raise ConfigError(
            f"layout: scale='pixels' with size={config.get('size')!r}; give the image size, as in size=1280x720"
        )
    return width, height


def _skeleton_of(declared: Any, columns: tuple[Columns, ...], arrays: tuple[tuple[str, str], ...]) -> Skeleton:
    if isinstance(declared, str) and _GROUPS.fullmatch(declared):
        pairs = (part.split(":") for part in declared.split(","))
        return skeleton_of_groups(tuple((_group(group.strip()), int(count)) for group, count in pairs), in_order=True)
    if declared is not None:
        return get_skeleton(declared)
    if columns:
        return skeleton_of_groups(tuple((c.group, c.points) for c in columns))
    counts = {"pose": 33, "face": 468, "lh": 21, "rh": 21}
    unknown = [group for group, _ in arrays if group not in counts]
    if unknown:
        raise ConfigError(f"layout: the keypoints of group {unknown[0]!r} are not known; add skeleton=NAME")
    return skeleton_of_groups(tuple((group, counts[group]) for group, _ in arrays))


@lru_cache(maxsize=64)
def skeleton_of_groups(groups: tuple[tuple[str, int], ...], *, in_order: bool = False) -> Skeleton:
    """Return the skeleton with some groups and numbers of points: a registered one, or one of MediaPipe's keypoints.

    Args:
        groups: Names and numbers of points.
        in_order: The skeleton has the groups in this order; otherwise a registered one with another order is preferred.

    Raises:
        ConfigError: If no keypoints are known for a group of this size.

    Example:
        >>> skeleton_of_groups((("rh", 21), ("lh", 21))).name, skeleton_of_groups((("rh", 21),)).name
        ('hand_42', 'rh_21')
    """
    registered = [get_skeleton(name) for name in skeleton_names()]
    sizes = [tuple((group, len(names)) for group, names in skeleton.parts) for skeleton in registered]
    rules: list[Callable[[tuple], bool]] = [lambda own: own == groups, lambda own: sorted(own) == sorted(groups)]
    for same in rules[:1] if in_order else rules:
        found = [skeleton for skeleton, own in zip(registered, sizes, strict=True) if same(own)]
        if found:
            return found[0]
    for group, count in groups:
        if (group, count) not in _MEDIAPIPE:
            known = ", ".join(f"{name} {number}" for name, number in _MEDIAPIPE)
            raise ConfigError(
                f"layout: no keypoint names for {count} points of group {group!r} (known are {known}); add their skeleton, "
                "as in dict(columns=..., skeleton=dict(name=..., parts=[(group, names), ...]))"
            )
    name = "_".join(f"{group}_{count}" for group, count in groups)
    return mediapipe_skeleton(name, *((group, _MEDIAPIPE[group, count]) for group, count in groups))
