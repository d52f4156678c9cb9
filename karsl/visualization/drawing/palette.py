"""Colours of sides and groups, and the style in which a skeleton's bones are drawn.

Orange and blue differ for every kind of colour vision, and in lightness from the grey of pose and face (after Okabe
and Ito, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from karsl.skeletons import Skeleton

PAPER, INK, MUTED, GRID, MISSING = "#ffffff", "#111827", "#64748b", "#e2e8f0", "#fddcd9"
RIGHT, LEFT, POSE, FACE = "#d9480f", "#1769b5", "#334155", "#8896a9"
RIGHT_ARM, LEFT_ARM = "#94542f", "#2f5f87"  # half way from the side's colour to the pose's
_OTHERS = ("#0b7a5b", "#a3457f", "#7a6a00", "#4b3fa0")

_HAND_GROUPS = {"rh": "right", "right_hand": "right", "lh": "left", "left_hand": "left"}
_LABELS = {"pose": "arms", "face": "face"}


def drawing_colours() -> tuple[str, ...]:
    """Every colour that lines and areas are drawn with: what a format of few colours must keep."""
    return (PAPER, INK, MUTED, GRID, MISSING, RIGHT, LEFT, POSE, FACE, RIGHT_ARM, LEFT_ARM, *_OTHERS)


@dataclass(frozen=True)
class GroupStyle:
    """How one group is called and coloured; `side` is set for hands only."""

    name: str
    label: str
    colour: str
    side: str | None = None


@dataclass(frozen=True)
class Bone:
    """A line between two keypoints; width in pixels of a body panel."""

    start: int
    end: int
    colour: str
    width: float


def side_of(name: str) -> str | None:
    """The side that a keypoint's name tells.

    Example:
        >>> side_of("left_wrist"), side_of("mouth_right"), side_of("nose")
        ('left', 'right', None)
    """
    words = name.split("_")
    return next((side for side in ("left", "right") if side in words), None)


@lru_cache(maxsize=32)
def group_styles(skeleton: Skeleton) -> tuple[GroupStyle, ...]:
    """One style for each group, in the skeleton's order.

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
            colour = {"pose": POSE, "face": FACE}.get(name) or next(others)
            label = "body" if name == "pose" and "nose" in skeleton.names[part] else _LABELS.get(name, name)
            styles.append(GroupStyle(name, label, colour))
    return tuple(styles)


def _hand_side(names: tuple[str, ...]) -> str | None:
    return next((s for s in ("left", "right") if all(name.startswith(f"{s}_hand_") for name in names)), None)


@lru_cache(maxsize=32)
def bones(skeleton: Skeleton) -> tuple[Bone, ...]:
    """Bones in drawing order: face below, then body, then hands; an arm takes a tint of its side."""
    styles = _point_styles(skeleton)
    drawn = []
    for start, end in skeleton.edges.tolist():
        style = styles[start]
        sides = {side_of(skeleton.names[start]), side_of(skeleton.names[end])}
        colour = style.colour
        if style.name == "pose" and len(sides) == 1 and None not in sides:
            colour = RIGHT_ARM if "right" in sides else LEFT_ARM
        drawn.append((_layer(style), Bone(start, end, colour, _width(style))))
    return tuple(bone for _, bone in sorted(drawn, key=lambda pair: pair[0]))


@lru_cache(maxsize=32)
def dots(skeleton: Skeleton) -> tuple[tuple[int, str], ...]:
    """Keypoints to mark and their colours: all but the face's, and those of a face without bones."""
    styles = _point_styles(skeleton)
    has_bones = {styles[start].name for start, _ in skeleton.edges.tolist()}
    marked = [(_layer(s), v, s.colour) for v, s in enumerate(styles) if s.name != "face" or "face" not in has_bones]
    return tuple((v, colour) for _, v, colour in sorted(marked, key=lambda mark: mark[0]))


def _point_styles(skeleton: Skeleton) -> list[GroupStyle]:
    by_name = {style.name: style for style in group_styles(skeleton)}
    return [by_name[group] for group, part in skeleton.groups.items() for _ in range(part.start, part.stop)]


def _layer(style: GroupStyle) -> int:
    return 2 if style.side else 0 if style.name == "face" else 1


def _width(style: GroupStyle) -> float:
    return 1.4 if style.side else 0.8 if style.name == "face" else 2.2
