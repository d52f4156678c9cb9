"""What `.pose` files call the points of MediaPipe Holistic and OpenPose, component by component.

Source: https://github.com/sign-language-processing/pose/blob/master/docs/specs/v0.2.md and the two vocabularies in
`pose_format.utils.holistic` and `pose_format.utils.openpose`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from karsl.skeletons.layouts import BODY_25, FACE_70
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand

OWN = "KARSL_"  # components of points that neither vocabulary has: KARSL_<group>, under our names
NOT_READ = {"POSE_WORLD_LANDMARKS": "the pose again, in metres around the hips"}

_GROUPS = {
    "POSE_LANDMARKS": "pose",
    "FACE_LANDMARKS": "face",
    "LEFT_HAND_LANDMARKS": "lh",
    "RIGHT_HAND_LANDMARKS": "rh",
    "pose_keypoints_2d": "pose",
    "face_keypoints_2d": "face",
    "hand_left_keypoints_2d": "lh",
    "hand_right_keypoints_2d": "rh",
}


def _theirs_of_hand(name: str) -> str:
    """'left_hand_index_mcp' is INDEX_FINGER_MCP, 'left_hand_thumb_cmc' is THUMB_CMC."""
    point = name.split("_hand_")[1]
    return re.sub(r"^(index|middle|ring)_", r"\1_finger_", point).upper()


def _openpose_hand() -> tuple[str, ...]:
    thumb = ("T_STT", "T_BCMC", "T_MCP", "T_IP")
    return ("BASE", *thumb, *(f"{f}_{joint}" for f in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")))


def _openpose_face() -> tuple[str, ...]:
    spans = {"FB": range(17), "FEB": range(17, 27), "FN": range(27, 36), "FE": range(36, 48)}
    spans |= {"FLO": range(48, 60), "FLI": range(60, 68), "FP": range(68, 70)}
    return tuple(f"{part}_{number}" for part, numbers in spans.items() for number in numbers)


_OPENPOSE_BODY = (
    *("Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "MidHip", "RHip", "RKnee", "RAnkle"),
    *("LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar"),
    *("LBigToe", "LSmallToe", "LHeel", "RBigToe", "RSmallToe", "RHeel"),
)
Vocabulary = dict[str, dict[str, str]]


@cache
def vocabularies() -> tuple[Vocabulary, Vocabulary]:
    """MediaPipe's and OpenPose's components: our name of a point to theirs, in their order.

    Example:
        >>> mediapipe, openpose = vocabularies()
        >>> mediapipe["LEFT_HAND_LANDMARKS"]["left_hand_index_mcp"], openpose["pose_keypoints_2d"]["left_big_toe"]
        ('INDEX_FINGER_MCP', 'LBigToe')
    """
    hands = {"LEFT_HAND_LANDMARKS": hand("left"), "RIGHT_HAND_LANDMARKS": hand("right")}
    mediapipe = {
        "POSE_LANDMARKS": {name: name.upper() for name in POSE_33},
        "FACE_LANDMARKS": {name: str(vertex) for vertex, name in enumerate(VERTEX_NAMES)},
        **{component: {name: _theirs_of_hand(name) for name in names} for component, names in hands.items()},
    }
    openpose = {
        "pose_keypoints_2d": dict(zip(BODY_25, _OPENPOSE_BODY, strict=True)),
        "face_keypoints_2d": dict(zip(FACE_70, _openpose_face(), strict=True)),
        "hand_left_keypoints_2d": dict(zip(hand("left"), _openpose_hand(), strict=True)),
        "hand_right_keypoints_2d": dict(zip(hand("right"), _openpose_hand(), strict=True)),
    }
    return mediapipe, openpose


@cache
def _ours(component: str) -> dict[str, str] | None:
    """Their names of a component to ours; None for one of neither vocabulary."""
    known = next((v[component] for v in vocabularies() if component in v), None)
    return None if known is None else {theirs: name for name, theirs in known.items()}


def group_of(component: str) -> str:
    """The group of our skeletons that a component is.

    Example:
        >>> group_of("hand_left_keypoints_2d"), group_of("KARSL_tail"), group_of("Tongue")
        ('lh', 'tail', 'tongue')
    """
    return component.removeprefix(OWN) if component.startswith(OWN) else _GROUPS.get(component, component.lower())


def our_names(component: str, points: list[str]) -> tuple[str | None, ...]:
    """Our names of a component's points; None for a point that its vocabulary does not have.

    Example:
        >>> our_names("RIGHT_HAND_LANDMARKS", ["WRIST", "PINKY_TIP"]), our_names("Tongue", ["Tip"])
        (('right_hand_wrist', 'right_hand_pinky_tip'), ('tongue_tip',))
    """
    known, own = _ours(component), component.startswith(OWN)
    name: Callable[[str], str | None] = known.get if known else (lambda p: p if own else f"{component}_{p}".lower())
    return tuple(name(point) for point in points)


def components_of(parts: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The components to write for the groups of a skeleton: component, our names, their names.

    Points are written in the vocabulary that knows more of them; what it lacks goes into components of our own.

    Example:
        >>> components_of((("pose", ("right_wrist", "nose", "tail_0")),))
        [('POSE_LANDMARKS', ('nose', 'right_wrist'), ('NOSE', 'RIGHT_WRIST')), ('KARSL_pose', ('tail_0',), ('tail_0',))]
    """
    there = {name for _, names in parts for name in names}
    chosen = max(vocabularies(), key=lambda v: sum(len(there & points.keys()) for points in v.values()))
    out, left = [], set(there)
    for component, points in chosen.items():
        names = tuple(n for n in points if n in there)
        if names:
            out.append((component, names, tuple(points[n] for n in names)))
            left -= set(names)
    for group, names in parts:
        rest = tuple(n for n in names if n in left)
        if rest:
            out.append((OWN + group, rest, rest))
    return out
