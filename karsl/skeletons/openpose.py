"""OpenPose's body, face and hand points, under MediaPipe's names where both mean the same point of the body.

The 70 face points follow the 68 of iBUG 300-W, counted from the signer's right, and two pupils.

Source: https://github.com/CMU-Perceptual-Computing-Lab/openpose/blob/master/doc/02_output.md (BODY_25, face, hand) and
Sagonas et al. 2013, 300 Faces in-the-Wild Challenge.
"""

from __future__ import annotations

from karsl.skeletons.mediapipe import hand, mediapipe_skeleton
from karsl.skeletons.skeleton import Skeleton

BODY_25: tuple[str, ...] = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
    *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
)
# feature: numbers on the right side, and their mirror images on the left
_PAIRED = {
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
_MIDLINE = {8: "chin_tip", 33: "nostril_centre", 51: "mouth_outer_top", 57: "mouth_outer_bottom"}
_MIDLINE |= {62: "mouth_inner_top", 66: "mouth_inner_bottom"} | {n: f"nose_bridge_{n - 27}" for n in range(27, 31)}
_RINGS = (range(36, 42), range(42, 48), range(48, 60), range(60, 68))
_LINES = (range(17), range(17, 22), range(22, 27), range(27, 31), range(31, 36))


def _face_70() -> tuple[str, ...]:
    names = dict(_MIDLINE)
    for feature, (right, left) in _PAIRED.items():
        for k, (r, m) in enumerate(zip(right, left, strict=True)):
            names[r], names[m] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    return tuple(names[n] for n in range(70))


FACE_70: tuple[str, ...] = _face_70()
"""Name of each face point by its OpenPose number."""


def _bones() -> tuple[tuple[str, str], ...]:
    chains: list[tuple[str, ...]] = [("nose", "neck", "mid_hip"), ("right_eye", "nose", "left_eye")]
    for side in ("right", "left"):
        chains += [("neck", f"{side}_shoulder"), ("mid_hip", f"{side}_hip"), (f"{side}_eye", f"{side}_ear")]
        chains += [(f"{side}_ankle", f"{side}_big_toe", f"{side}_small_toe")]
    chains += [tuple(FACE_70[n] for n in line) for line in _LINES]
    chains += [tuple(FACE_70[n] for n in (*ring, ring[0])) for ring in _RINGS]
    return tuple(pair for chain in chains for pair in zip(chain[:-1], chain[1:], strict=True))


def openpose_137() -> Skeleton:
    """OpenPose as most people save it: body 25, face 70, left hand 21, right hand 21."""
    return mediapipe_skeleton(
        "openpose_137", ("pose", BODY_25), ("face", FACE_70), ("lh", hand("left")), ("rh", hand("right")), bones=_bones()
    )
