"""The keypoints of other people's corpora and models, in the order of their files, under MediaPipe's names."""

from __future__ import annotations

from karsl.skeletons.facemesh import NUM_VERTICES, VERTEX_NAMES
from karsl.skeletons.mediapipe import POSE_33, hand, mediapipe_skeleton
from karsl.skeletons.skeleton import Skeleton

# The vertices that the ASL-App files hold, ascending as they lie there (its metadata.json, "face_indices").
_ASL_APP_FACE = (
    *(0, 1, 4, 13, 14, 17, 33, 61, 63, 66, 70, 78, 105, 107, 133, 145, 148, 152, 159, 176, 263, 291, 293, 296, 300),
    *(308, 334, 336, 362, 374, 377, 386, 400),
)
_NECK_BONES = (("nose", "neck"), ("neck", "left_shoulder"), ("neck", "right_shoulder"))
_SPOTER_HEAD = ("nose", "neck", "right_eye", "left_eye", "right_ear", "left_ear")
_SPOTER_ARMS = ("right_shoulder", "left_shoulder", "right_elbow", "left_elbow", "right_wrist", "left_wrist")
_SPOTER_JOINTS = ("tip", "dip", "pip", "mcp")

_COCO_HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_COCO_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_COCO_HEAD_BONES = (
    *(("left_eye", "right_eye"), ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear")),
    *(("right_eye", "right_ear"), ("left_ear", "left_shoulder"), ("right_ear", "right_shoulder")),
)


def coco_17() -> Skeleton:
    """COCO's 17 keypoints, as pyskl, mmaction2 and most body detectors give them.

    Source: https://cocodataset.org/#format-data (`keypoints` and `skeleton` of the category person).
    """
    limbs = tuple(f"{s}_{joint}" for joint in _COCO_LIMBS for s in ("left", "right"))
    return mediapipe_skeleton("coco_17", ("pose", (*_COCO_HEAD, *limbs)), bones=_COCO_HEAD_BONES)


def hand_42() -> Skeleton:
    """Both hands of MediaPipe: left hand 21, right hand 21."""
    return mediapipe_skeleton("hand_42", ("lh", hand("left")), ("rh", hand("right")))


def mp_75() -> Skeleton:
    """MediaPipe Holistic without the face: pose 33, left hand 21, right hand 21."""
    return mediapipe_skeleton("mp_75", ("pose", POSE_33), ("lh", hand("left")), ("rh", hand("right")))


def kaggle_543() -> Skeleton:
    """A frame of Kaggle's ASL-signs (Google, 2023): face 468, left hand 21, pose 33, right hand 21."""
    face = VERTEX_NAMES[:NUM_VERTICES]
    return mediapipe_skeleton("kaggle_543", ("face", face), ("lh", hand("left")), ("pose", POSE_33), ("rh", hand("right")))


def msl_226() -> Skeleton:
    """The points of MSL-150 in the order of its 226 columns: upper 25 of the pose, left hand 21, right hand 21."""
    return mediapipe_skeleton("msl_226", ("pose", POSE_33[:25]), ("lh", hand("left")), ("rh", hand("right")))


def asl_app_108() -> Skeleton:
    """The points of the ASL-App's sign files: pose 33, 33 of the face, left hand 21, right hand 21."""
    face = tuple(VERTEX_NAMES[v] for v in _ASL_APP_FACE)
    return mediapipe_skeleton("asl_app_108", ("pose", POSE_33), ("face", face), ("lh", hand("left")), ("rh", hand("right")))


def _spoter_hand(side: str) -> tuple[str, ...]:
    fingers = tuple(f"{f}_{j}" for f in ("index", "middle", "ring", "pinky") for j in _SPOTER_JOINTS)
    points = ("wrist", *fingers, *(f"thumb_{j}" for j in ("tip", "ip", "mcp", "cmc")))
    return tuple(f"{side}_hand_{point}" for point in points)


def spoter_54() -> Skeleton:
    """The landmarks of SPOTER's CSV files: 12 of head and arms, left hand 21, right hand 21.

    Source: Bohacek and Hruz 2022, Sign Pose-Based Transformer for Word-Level Sign Language Recognition,
    https://github.com/matyasbohacek/spoter (identifiers of its normalization package).
    """
    return mediapipe_skeleton(
        "spoter_54",
        ("pose", _SPOTER_HEAD + _SPOTER_ARMS),
        ("lh", _spoter_hand("left")),
        ("rh", _spoter_hand("right")),
        bones=_NECK_BONES,
    )
