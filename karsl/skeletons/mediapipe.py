"""MediaPipe's pose and hand landmarks, and the keypoint layouts made of them.

Source: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker (33 pose landmarks) and
https://ai.google.dev/edge/mediapipe/solutions/vision/hand_landmarker (21 hand landmarks).
"""

from __future__ import annotations

from karsl.skeletons.facemesh import CONTOUR_VERTICES, NUM_VERTICES, VERTEX_NAMES, contour_bones
from karsl.skeletons.skeleton import Skeleton

POSE_33: tuple[str, ...] = (
    "nose",
    *("left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
    *("left_ear", "right_ear", "mouth_left", "mouth_right"),
    *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *("left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb"),
    *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
)
_FINGERS = ("index", "middle", "ring", "pinky")
_HAND = (
    "wrist",
    *(f"thumb_{j}" for j in ("cmc", "mcp", "ip", "tip")),
    *(f"{f}_{j}" for f in _FINGERS for j in ("mcp", "pip", "dip", "tip")),
)
_PALM = ("wrist", "index_mcp", "middle_mcp", "ring_mcp", "pinky_mcp")


def hand(side: str) -> tuple[str, ...]:
    """The 21 landmark names of one hand.

    Example:
        >>> hand("right")[:3]
        ('right_hand_wrist', 'right_hand_thumb_cmc', 'right_hand_thumb_mcp')
    """
    return tuple(f"{side}_hand_{point}" for point in _HAND)


def _hand_bones(side: str) -> list[tuple[str, str]]:
    chains = [("wrist", *_HAND[1:5])]
    chains += [tuple(f"{f}_{j}" for j in ("mcp", "pip", "dip", "tip")) for f in _FINGERS]
    chains += [(*_PALM, "wrist")]
    return [(f"{side}_hand_{a}", f"{side}_hand_{b}") for c in chains for a, b in zip(c[:-1], c[1:], strict=True)]


def _pose_bones() -> list[tuple[str, str]]:
    bones = [("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("mouth_left", "mouth_right")]
    for side in ("left", "right"):
        bones += [(f"{side}_shoulder", f"{side}_elbow"), (f"{side}_elbow", f"{side}_wrist")]
        bones += [(f"{side}_shoulder", f"{side}_hip"), (f"{side}_hip", f"{side}_knee")]
        bones += [(f"{side}_knee", f"{side}_ankle"), (f"{side}_ankle", f"{side}_heel")]
        bones += [(f"{side}_heel", f"{side}_foot_index"), (f"{side}_ear", f"{side}_eye_outer")]
        bones += [(f"{side}_eye_outer", f"{side}_eye"), (f"{side}_eye", f"{side}_eye_inner")]
        bones += [(f"{side}_eye_inner", "nose")]
    return bones


def mediapipe_skeleton(name: str, *parts: tuple[str, tuple[str, ...]], bones: tuple[tuple[str, str], ...] = ()) -> Skeleton:
    """A skeleton of MediaPipe's points and maybe others, with every bone of MediaPipe whose ends are there.

    Args:
        name: Of the skeleton.
        parts: `(group, keypoint names)` in the order of the array's keypoint axis.
        bones: More bones, of points that are not MediaPipe's.

    Example:
        >>> mediapipe_skeleton("shoulders", ("pose", ("left_shoulder", "right_shoulder"))).bones
        (('left_shoulder', 'right_shoulder'),)
    """
    there = {n for _, names in parts for n in names}
    known = (*_pose_bones(), *contour_bones(), *_hand_bones("right"), *_hand_bones("left"), *bones)
    return Skeleton(name, parts, tuple(b for b in known if set(b) <= there))


def karsl_184() -> Skeleton:
    """The reference KArSL layout: 6 arm points, 136 face contour and iris points, right hand, left hand."""
    face = tuple(VERTEX_NAMES[v] for v in CONTOUR_VERTICES)
    return mediapipe_skeleton(
        "karsl_184", ("pose", POSE_33[11:17]), ("face", face), ("rh", hand("right")), ("lh", hand("left"))
    )


def holistic_543() -> Skeleton:
    """MediaPipe Holistic as most people save it (1662 columns): pose 33, face 468, left hand 21, right hand 21."""
    face = VERTEX_NAMES[:NUM_VERTICES]
    return mediapipe_skeleton("holistic_543", ("pose", POSE_33), ("face", face), ("lh", hand("left")), ("rh", hand("right")))
