"""Guesses of the layout of array files from shapes and names, to be checked by the user."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from karsl.errors import ConfigError
from karsl.io.array_layout import ArrayLayout
from karsl.io.layout_config import LAYOUTS
from karsl.io.npz import Member
from karsl.skeletons import Skeleton, get_skeleton, skeleton_names

_GROUP_NAMES = {
    "pose": ("pose", "body", "pose_landmarks"),
    "face": ("face", "face_landmarks"),
    "lh": ("lh", "left_hand", "lefthand", "left", "hand_left", "left_hand_landmarks"),
    "rh": ("rh", "right_hand", "righthand", "right", "hand_right", "right_hand_landmarks"),
}
_GROUPS = {
    553: ["pose:33, face:478, lh:21, rh:21"],
    478: ["face:478"],
    468: ["face:468"],
    33: ["pose:33"],
    21: ["lh:21", "rh:21"],
}
"""Groups of MediaPipe by their number of keypoints, if no skeleton is registered."""
_COLUMNS = {63: ["lh:21x3", "rh:21x3"], 42: ["lh:21x2", "rh:21x2"], 1404: ["face:468x3"], 1434: ["face:478x3"]}
"""Columns of one group by their number."""
_WITH_SCORE = {"coco_17": 3, "openpose_137": 3}
"""Values per keypoint of skeletons whose files have x, y and score."""


def guess_layouts(members: Sequence[Member]) -> list[str]:
    """Return the texts of all layouts that fit the arrays of a file; the likeliest kinds only.

    Example:
        >>> import numpy as np
        >>> shapes = [(30, 1662), (30, 999, 3)]
        >>> [guess_layouts([Member("a", shape, np.dtype("f4"))]) for shape in shapes]
        [['holistic_1662'], []]
    """
    numeric = [member for member in members if member.dtype.kind in "fiu" and member.shape]
    if not numeric:
        return []
    parts = guess_arrays(numeric)
    if parts:
        return [parts]
    shape = max((member.shape for member in numeric), key=len)
    columns = [name for name in LAYOUTS if ArrayLayout.parse(name).num_columns == shape[-1]]
    return columns or _guess_keypoints(shape, skeleton_names()) or _COLUMNS.get(shape[-1], [])


def guess_arrays(members: Sequence[Member], skeleton: Skeleton | None = None) -> str:
    """Return the text of a layout with one array per group, or an empty text; with a skeleton, one with its groups.

    Example:
        >>> import numpy as np
        >>> shapes = {"pose": (9, 33, 4), "left_hand": (9, 21, 3), "right_hand": (9, 21, 3), "info": (3,)}
        >>> guess_arrays([Member(key, shape, np.dtype("f4")) for key, shape in shapes.items()])
        'pose=pose, lh=left_hand, rh=right_hand'
    """
    keys = {str(m.key).lower(): m for m in members if m.key is not None and len(m.shape) >= 2}
    found = {group: keys[name] for group, names in _GROUP_NAMES.items() for name in names if name in keys}
    if skeleton is not None:
        found = {group: found[group] for group in skeleton.groups if group in found}
    if not found or (skeleton is not None and found.keys() != skeleton.groups.keys()):
        return ""
    text = ", ".join(f"{group}={member.key}" for group, member in found.items())
    for axes in ("TVC", "TD"):
        try:
            layout = ArrayLayout.parse({"arrays": text, "axes": axes, **({"skeleton": skeleton} if skeleton else {})})
        except ConfigError:
            return ""
        if all(_fits(layout, member, group) for group, member in found.items()):
            return text if axes == "TVC" else f"{text}; axes={axes}"
    return ""


def layout_of_skeleton(skeleton: Skeleton, members: Sequence[Member]) -> ArrayLayout:
    """Return the layout of arrays of a known skeleton: keypoints, columns in the order of a table, or one array per group.

    If nothing fits, this is the layout (T, V, C), by which all problems are reported.
    """
    text = guess_arrays(members, skeleton)
    if text:
        return ArrayLayout.parse(
            {"arrays": text.partition(";")[0], "axes": "TD" if ";" in text else "TVC", "skeleton": skeleton}
        )
    plain = ArrayLayout(skeleton)
    tables = [layout for layout in map(ArrayLayout.parse, LAYOUTS) if layout.skeleton == skeleton]
    for layout in (plain, *tables, ArrayLayout(skeleton, axes="TD")):
        if any(_fits(layout, member) for member in members):
            return layout
    return plain


def _fits(layout: ArrayLayout, member: Member, group: str | None = None) -> bool:
    """Return True if an array is a clip, a stack or a frame of a layout."""
    shape, ndim = member.shape, layout.clip_ndim
    clip = {ndim: shape, ndim + 1: shape[1:], ndim - 1: (1, *shape)}.get(len(shape))
    return clip is not None and layout.shape_problem(clip, member.dtype, group) is None


def _guess_keypoints(shape: tuple[int, ...], names: Sequence[str]) -> list[str]:
    skeletons = [get_skeleton(name) for name in names]
    if len(shape) >= 2 and shape[-1] in (2, 3, 4):
        found = [s for s in skeletons if s.num_keypoints == shape[-2]]
        texts = [f"{s.name}; score=2" if _WITH_SCORE.get(s.name) == shape[-1] else s.name for s in found]
        return texts or _GROUPS.get(shape[-2], [])
    if len(shape) == 3:
        for order in permutations("TVC"):
            size = dict(zip(order, shape, strict=True))
            found = [s for s in skeletons if s.num_keypoints == size["V"] and size["C"] in (2, 3, 4)]
            if found and order != ("T", "V", "C"):
                return [f"{s.name}; axes={''.join(order)}" for s in found]
    return []
