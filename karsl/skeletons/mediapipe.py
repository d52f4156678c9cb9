"""Landmarks of MediaPipe (pose, hands, face mesh) and the keypoint layouts made of them.

Source: https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker (33 pose landmarks),
https://ai.google.dev/edge/mediapipe/solutions/vision/hand_landmarker (21 hand landmarks), and `FACEMESH_CONTOURS` and
`FACEMESH_IRISES` in
https://github.com/google-ai-edge/mediapipe/blob/v0.10.14/mediapipe/python/solutions/face_mesh_connections.py
"""

from __future__ import annotations

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
    """Return the 21 landmark names of one hand.

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


NUM_VERTICES, NUM_WITH_IRISES = 468, 478

# feature: (vertices on the right side, their mirror images on the left side), both in drawing order
_FACE_PAIRS = {
    "oval": (
        (109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
        (338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    ),
    "eye_lower": ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362)),
    "eye_upper": ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398)),
    "brow_lower": ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285)),
    "brow_upper": ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336)),
    "iris": ((469, 470, 471, 472), (476, 475, 474, 477)),
    "pupil": ((468,), (473,)),
}
# feature: vertices from the right corner across the midline to the left corner
_FACE_CHAINS = {
    "lips_outer_lower": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    "lips_outer_upper": (185, 40, 39, 37, 0, 267, 269, 270, 409),
    "lips_inner_lower": (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    "lips_inner_upper": (191, 80, 81, 82, 13, 312, 311, 310, 415),
}
_FACE_MIDLINE = (1, 2, 4, 5, 6, 8, 9, 11, 12, 15, 16, 18, 19, 94, 151, 164, 168, 175, 195, 197, 199, 200)
_FIRST_LEFT_VERTEX = 248  # vertices of the left side that are on no contour start here


def _contour_names() -> dict[int, str]:
    names = {10: "oval_top", 152: "oval_bottom"}
    for feature, (right, left) in _FACE_PAIRS.items():
        for k, (r, m) in enumerate(zip(right, left, strict=True)):
            names[r], names[m] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    for feature, chain in _FACE_CHAINS.items():
        half = len(chain) // 2
        names[chain[half]] = feature
        for k in range(half):
            names[chain[k]], names[chain[-1 - k]] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    return names


def _vertex_names() -> tuple[str, ...]:
    names = _contour_names() | {v: f"face_{v}" for v in _FACE_MIDLINE}
    free = [v for v in range(NUM_VERTICES) if v not in names]
    right, left = [v for v in free if v < _FIRST_LEFT_VERTEX], [v for v in free if v >= _FIRST_LEFT_VERTEX]
    for r, m in zip(right, left, strict=True):  # the mesh numbers both sides in the same order
        names[r], names[m] = f"right_face_{r}", f"left_face_{r}"
    return tuple(names[v] for v in range(NUM_WITH_IRISES))


VERTEX_NAMES: tuple[str, ...] = _vertex_names()
"""Name of each face-mesh vertex by its MediaPipe number, irises (468-477) last.

Vertices on contours are named by feature (`left_eye_upper_0`), the others `right_face_k` and `left_face_k` by the number k
of the right one, or `face_k` on the midline. Sides are those of the signer.
"""

CONTOUR_VERTICES: tuple[int, ...] = tuple(sorted(v for v in _contour_names() if v not in (468, 473)))
"""The 136 end points of FACEMESH_CONTOURS and FACEMESH_IRISES in ascending order: the face of the KArSL layout."""


def _closed(vertices: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(vertices, (*vertices[1:], vertices[0]), strict=True))


def _open(vertices: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(vertices[:-1], vertices[1:], strict=True))


def contour_bones() -> tuple[tuple[str, str], ...]:
    """Return the bones of the face as pairs of vertex names: oval, eyes, brows, lips and irises."""
    right_oval, left_oval = _FACE_PAIRS["oval"]
    lines = _closed((10, *left_oval, 152, *right_oval[::-1]))
    for side in (0, 1):
        lower, upper = _FACE_PAIRS["eye_lower"][side], _FACE_PAIRS["eye_upper"][side]
        lines += _closed((*lower, *upper[::-1])) + _closed(_FACE_PAIRS["iris"][side])
        lines += _open(_FACE_PAIRS["brow_lower"][side]) + _open(_FACE_PAIRS["brow_upper"][side])
    for ring in ("outer", "inner"):
        lines += _closed((*_FACE_CHAINS[f"lips_{ring}_lower"], *_FACE_CHAINS[f"lips_{ring}_upper"][::-1]))
    return tuple((VERTEX_NAMES[a], VERTEX_NAMES[b]) for a, b in lines)


def mediapipe_skeleton(name: str, *parts: tuple[str, tuple[str, ...]], bones: tuple[tuple[str, str], ...] = ()) -> Skeleton:
    """Create a skeleton with every bone of MediaPipe between its keypoints.

    Args:
        name: Name of the skeleton.
        parts: `(group, keypoint names)` in the order of the array's keypoint axis.
        bones: Further bones, of keypoints that are not in MediaPipe.

    Example:
        >>> mediapipe_skeleton("shoulders", ("pose", ("left_shoulder", "right_shoulder"))).bones
        (('left_shoulder', 'right_shoulder'),)
    """
    present = {n for _, names in parts for n in names}
    known = (*_pose_bones(), *contour_bones(), *_hand_bones("right"), *_hand_bones("left"), *bones)
    return Skeleton(name, parts, tuple(b for b in known if set(b) <= present))


def karsl_184() -> Skeleton:
    """The reference KArSL layout: 6 arm points, 136 face contour and iris points, right hand, left hand."""
    face = tuple(VERTEX_NAMES[v] for v in CONTOUR_VERTICES)
    return mediapipe_skeleton(
        "karsl_184", ("pose", POSE_33[11:17]), ("face", face), ("rh", hand("right")), ("lh", hand("left"))
    )


def holistic_543() -> Skeleton:
    """MediaPipe Holistic in its usual export (1662 columns): pose 33, face 468, left hand 21, right hand 21."""
    face = VERTEX_NAMES[:NUM_VERTICES]
    return mediapipe_skeleton("holistic_543", ("pose", POSE_33), ("face", face), ("lh", hand("left")), ("rh", hand("right")))
