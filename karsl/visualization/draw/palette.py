"""Colors of sides and groups, and line styles of a skeleton's bones.

Orange and blue are distinguishable with every kind of color vision, and differ in lightness from the gray of pose and face.

Source: Okabe and Ito, Color Universal Design, https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from karsl.skeletons import Skeleton

PAPER, INK, MUTED, FAINT, GRID, MISSING = "#ffffff", "#111827", "#64748b", "#a8b1bd", "#e2e8f0", "#fddcd9"
RIGHT, LEFT, POSE, FACE = "#d9480f", "#1769b5", "#334155", "#8896a9"
RIGHT_ARM, LEFT_ARM = "#94542f", "#2f5f87"  # halfway between the colors of side and pose
_OTHERS = ("#0b7a5b", "#a3457f", "#7a6a00", "#4b3fa0")

_HAND_GROUPS = {"rh": "right", "right_hand": "right", "lh": "left", "left_hand": "left"}
_LABELS = {"pose": "arms", "face": "face"}


def drawing_colors() -> tuple[str, ...]:
    """Return every color of lines and areas, which a format with a small palette must keep."""
    return (PAPER, INK, MUTED, GRID, MISSING, RIGHT, LEFT, POSE, FACE, RIGHT_ARM, LEFT_ARM, *_OTHERS)


@dataclass(frozen=True)
class GroupStyle:
    """Label and color of one group; `side` is set for hands only."""

    name: str
    label: str
    color: str
    side: str | None = None


@dataclass(frozen=True)
class Bone:
    """A line between two keypoints; width in pixels of a body panel."""

    start: int
    end: int
    color: str
    width: float


def side_of(name: str) -> str | None:
    """Return the side in the name of a keypoint.

    Example:
        >>> side_of("left_wrist"), side_of("mouth_right"), side_of("nose")
        ('left', 'right', None)
    """
    words = name.split("_")
    return next((side for side in ("left", "right") if side in words), None)


@lru_cache(maxsize=32)
def group_styles(skeleton: Skeleton) -> tuple[GroupStyle, ...]:
    """Return one style per group, in the order of the skeleton.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> [(style.label, style.side) for style in group_styles(get_skeleton("karsl_184"))]
        [('arms', None), ('face', None), ('right hand', 'right'), ('left hand', 'left')]
    """
    others = iter(_OTHERS * len(skeleton.groups))
    styles = []
    for name, part in skeleton.groups.items():
        side = _HAND_GROUPS.get(name) or _hand_side(skeleton.names[part])
        if side:
            styles.append(GroupStyle(name, f"{side} hand", RIGHT if side == "right" else LEFT, side))
        else:
            color = {"pose": POSE, "face": FACE}.get(name) or next(others)
            label = "body" if name == "pose" and "nose" in skeleton.names[part] else _LABELS.get(name, name)
            styles.append(GroupStyle(name, label, color))
    return tuple(styles)


def enlarged_hands(skeleton: Skeleton) -> list[GroupStyle]:
    """Return the hands to show enlarged, the right one first; none if a single hand is the whole skeleton.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> [style.label for style in enlarged_hands(get_skeleton("karsl_184"))]
        ['right hand', 'left hand']
    """
    styles = group_styles(skeleton)
    hands = sorted((style for style in styles if style.side), key=lambda style: style.side == "left")
    return [] if len(hands) == len(styles) == 1 else hands


def _hand_side(names: tuple[str, ...]) -> str | None:
    return next((s for s in ("left", "right") if all(name.startswith(f"{s}_hand_") for name in names)), None)


@lru_cache(maxsize=32)
def bones(skeleton: Skeleton) -> tuple[Bone, ...]:
    """Return bones in drawing order: face, body, hands. An arm has a tint of its side."""
    styles = _point_styles(skeleton)
    drawn = []
    for start, end in skeleton.edges.tolist():
        style = styles[start]
        sides = {side_of(skeleton.names[start]), side_of(skeleton.names[end])}
        color = style.color
        if style.name == "pose" and len(sides) == 1 and None not in sides:
            color = RIGHT_ARM if "right" in sides else LEFT_ARM
        drawn.append((_layer(style), Bone(start, end, color, _width(style))))
    return tuple(bone for _, bone in sorted(drawn, key=lambda pair: pair[0]))


@lru_cache(maxsize=32)
def dots(skeleton: Skeleton) -> tuple[tuple[int, str], ...]:
    """Return the keypoints to mark and their colors: all, except those of a face that has bones."""
    styles = _point_styles(skeleton)
    has_bones = {styles[start].name for start, _ in skeleton.edges.tolist()}
    marked = [(_layer(s), v, s.color) for v, s in enumerate(styles) if s.name != "face" or "face" not in has_bones]
    return tuple((v, color) for _, v, color in sorted(marked, key=lambda mark: mark[0]))


def _point_styles(skeleton: Skeleton) -> list[GroupStyle]:
    by_name = {style.name: style for style in group_styles(skeleton)}
    return [by_name[group] for group, part in skeleton.groups.items() for _ in range(part.start, part.stop)]


def _layer(style: GroupStyle) -> int:
    return 2 if style.side else 0 if style.name == "face" else 1


def _width(style: GroupStyle) -> float:
    return 1.4 if style.side else 0.8 if style.name == "face" else 2.2
