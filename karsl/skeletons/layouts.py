"""Keypoint layouts of other corpora and models, in the order of their files, with MediaPipe's names."""

from __future__ import annotations

from karsl.skeletons.mediapipe import NUM_VERTICES, POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton
from karsl.skeletons.skeleton import Skeleton

# Vertices in the ASL-App files, in their order, which is ascending (metadata.json, "face_indices").
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
    """COCO's 17 keypoints, as in pyskl, mmaction2 and most body detectors.

    Source: https://cocodataset.org/#format-data (`keypoints` and `skeleton` of the category person).
    """
    limbs = tuple(f"{s}_{joint}" for joint in _COCO_LIMBS for s in ("left", "right"))
    return mediapipe_skeleton("coco_17", ("pose", (*_COCO_HEAD, *limbs)), bones=_COCO_HEAD_BONES)


def coco_wholebody_133() -> Skeleton:
    """COCO-WholeBody, as in RTMPose, RTMW and DWPose: body 17 and feet 6, face 68, left hand 21, right hand 21.

    Source: https://github.com/jin-s13/COCO-WholeBody/blob/master/data_format.md
    """
    feet = tuple(f"{s}_{point}" for s in ("left", "right") for point in ("big_toe", "small_toe", "heel"))
    foot_bones = tuple((f"{s}_ankle", f"{s}_{point}") for s in ("left", "right") for point in ("big_toe", "small_toe"))
    return mediapipe_skeleton(
        "coco_wholebody_133",
        ("pose", (*coco_17().names, *feet)),
        ("face", FACE_70[:68]),
        ("lh", hand("left")),
        ("rh", hand("right")),
        bones=(*_COCO_HEAD_BONES, *foot_bones, *_FACE_68_BONES),
    )


# body points of Halpe after those of COCO
_HALPE_FEET = tuple(f"{s}_{point}" for point in ("big_toe", "small_toe", "heel") for s in ("left", "right"))
_HALPE_MORE = ("head_top", "neck", "mid_hip", *_HALPE_FEET)
_HALPE_BONES = (
    *(("head_top", "neck"), ("neck", "left_shoulder"), ("neck", "right_shoulder"), ("neck", "mid_hip")),
    *(("mid_hip", "left_hip"), ("mid_hip", "right_hip")),
)


def halpe_136() -> Skeleton:
    """Halpe full body, as in AlphaPose and FastPose: body 26, face 68, left hand 21, right hand 21.

    Source: https://github.com/Fang-Haoshu/Halpe-FullBody (keypoint format of 136 points).
    """
    feet = tuple((f"{s}_ankle", f"{s}_{point}") for s in ("left", "right") for point in ("big_toe", "small_toe"))
    return mediapipe_skeleton(
        "halpe_136",
        ("pose", (*coco_17().names, *_HALPE_MORE)),
        ("face", FACE_70[:68]),
        ("lh", hand("left")),
        ("rh", hand("right")),
        bones=(*_COCO_HEAD_BONES, *_HALPE_BONES, *feet, *_FACE_68_BONES),
    )


def ntu_25() -> Skeleton:
    """Kinect v2, as in NTU RGB+D 60 and 120: 25 joints of one body, x, y and z in metres.

    Source: https://github.com/shahroudy/NTURGB-D (ids of the joints), and the bones of the graph of ST-GCN,
    https://github.com/kennymckormick/pyskl/blob/main/pyskl/utils/graph.py.
    """
    arms = tuple(f"{s}_{joint}" for s in ("left", "right") for joint in ("shoulder", "elbow", "wrist", "hand"))
    legs = tuple(f"{s}_{joint}" for s in ("left", "right") for joint in ("hip", "knee", "ankle", "foot"))
    tips = ("left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb")
    names = ("spine_base", "spine_mid", "neck", "head", *arms, *legs, "spine_shoulder", *tips)
    chains: list[tuple[str, ...]] = [("spine_base", "spine_mid", "spine_shoulder", "neck", "head")]
    for number, s in enumerate(("left", "right")):
        chains += [("spine_shoulder", *arms[4 * number :][:4], f"{s}_hand_tip"), (f"{s}_hand", f"{s}_thumb")]
        chains += [("spine_base", *legs[4 * number :][:4])]
    bones = tuple(pair for chain in chains for pair in zip(chain[:-1], chain[1:], strict=True))
    return Skeleton("ntu_25", (("pose", names),), bones)


def mediapipe_553() -> Skeleton:
    """MediaPipe Holistic with irises, `refine_face_landmarks=True`: pose 33, face 478, left hand 21, right hand 21."""
    parts = (("pose", POSE_33), ("face", VERTEX_NAMES), ("lh", hand("left")), ("rh", hand("right")))
    return mediapipe_skeleton("mediapipe_553", *parts)


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
    """MSL-150 in the order of its 226 columns: upper 25 of the pose, left hand 21, right hand 21."""
    return mediapipe_skeleton("msl_226", ("pose", POSE_33[:25]), ("lh", hand("left")), ("rh", hand("right")))


def asl_app_108() -> Skeleton:
    """Sign files of the ASL-App: pose 33, face 33, left hand 21, right hand 21."""
    face = tuple(VERTEX_NAMES[v] for v in _ASL_APP_FACE)
    return mediapipe_skeleton("asl_app_108", ("pose", POSE_33), ("face", face), ("lh", hand("left")), ("rh", hand("right")))


def _spoter_hand(side: str) -> tuple[str, ...]:
    fingers = tuple(f"{f}_{j}" for f in ("index", "middle", "ring", "pinky") for j in _SPOTER_JOINTS)
    points = ("wrist", *fingers, *(f"thumb_{j}" for j in ("tip", "ip", "mcp", "cmc")))
    return tuple(f"{side}_hand_{point}" for point in points)


def spoter_54() -> Skeleton:
    """CSV files of SPOTER: head and arms 12, left hand 21, right hand 21.

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


BODY_25: tuple[str, ...] = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
# feature: points on the right side, and their mirror images on the left; points of iBUG 300-W, then two pupils
_FACE_70_PAIRS = {
    "jaw": (range(8), range(16, 8, -1)),
    "eyebrow": (range(17, 22), range(26, 21, -1)),
    "nostril": ((31, 32), (35, 34)),
    "eyelid": ((36, 37, 38, 39, 40, 41), (45, 44, 43, 42, 47, 46)),
    "mouth_outer_upper": ((48, 49, 50), (54, 53, 52)),
    "mouth_outer_lower": ((59, 58), (55, 56)),
    "mouth_inner_upper": ((60, 61), (64, 63)),
    "mouth_inner_lower": ((67,), (65,)),
    "pupil": ((68,), (69,)),
}
_FACE_70_MIDLINE = {8: "chin_tip", 33: "nostril_centre", 51: "mouth_outer_top", 57: "mouth_outer_bottom"}
_FACE_70_MIDLINE |= {62: "mouth_inner_top", 66: "mouth_inner_bottom"} | {n: f"nose_bridge_{n - 27}" for n in range(27, 31)}
_FACE_70_RINGS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
_FACE_70_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))


def _face_70() -> tuple[str, ...]:
    names = dict(_FACE_70_MIDLINE)
    for feature, (right, left) in _FACE_70_PAIRS.items():
        for k, (r, m) in enumerate(zip(right, left, strict=True)):
            names[r], names[m] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    return tuple(names[n] for n in range(70))


FACE_70: tuple[str, ...] = _face_70()
"""Name of each face point by its OpenPose number: the 68 of iBUG 300-W, counted from the signer's right, and two pupils."""


_FACE_68_BONES = tuple(
    (FACE_70[a], FACE_70[b])
    for line in (*_FACE_70_LINES, *((*ring, ring[0]) for ring in _FACE_70_RINGS))
    for a, b in zip(line[:-1], line[1:], strict=True)
)


def _openpose_bones() -> tuple[tuple[str, str], ...]:
    chains: list[tuple[str, ...]] = [("nose", "neck", "mid_hip"), ("right_eye", "nose", "left_eye")]
    for side in ("right", "left"):
        chains += [("neck", f"{side}_shoulder"), ("mid_hip", f"{side}_hip"), (f"{side}_eye", f"{side}_ear")]
        chains += [(f"{side}_ankle", f"{side}_big_toe", f"{side}_small_toe")]
    pairs = (pair for chain in chains for pair in zip(chain[:-1], chain[1:], strict=True))
    return (*pairs, *_FACE_68_BONES)


def openpose_137() -> Skeleton:
    """OpenPose in its usual export: body 25, face 70, left hand 21, right hand 21.

    Points that MediaPipe has too have its names.

    Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md (BODY_25, face, hand) and
    Sagonas et al. 2013, 300 Faces in-the-Wild Challenge.
    """
    return mediapipe_skeleton(
        "openpose_137",
        ("pose", BODY_25),
        ("face", FACE_70),
        ("lh", hand("left")),
        ("rh", hand("right")),
        bones=_openpose_bones(),
    )
