"""Arms, hands and faces of synthetic signers: points from joint angles and parametric curves."""

from __future__ import annotations

from functools import cache

import numpy as np

from karsl.skeletons import get_skeleton, mirror_name

_Points = dict[str, tuple[float, float]]

# Palm frame of a right hand: x towards the thumb, y along the fingers, z out of the palm. The length from the
# wrist to the tip of the middle finger is 1; proportions of an adult hand, estimated by eye.
_BASES = np.array([[0.15, 0.10, 0.02], [0.17, 0.47, 0.0], [0.05, 0.49, 0.0], [-0.07, 0.46, 0.0], [-0.17, 0.40, 0.0]])
_BONES = np.array([[0.20, 0.15, 0.12], [0.22, 0.14, 0.10], [0.25, 0.15, 0.11], [0.23, 0.14, 0.10], [0.18, 0.10, 0.09]])
_SPLAY = np.deg2rad([48.0, 9.0, 1.0, -7.0, -16.0])
_FLEXION = np.deg2rad([80.0, 100.0, 60.0])  # of a closed finger at mcp, pip and dip

HAND_SHAPES: dict[str, tuple[float, ...]] = {
    "flat": (0.1, 0.0, 0.0, 0.0, 0.0, 0.4),
    "open": (0.0, 0.0, 0.0, 0.0, 0.0, 1.6),
    "fist": (1.0, 1.0, 1.0, 1.0, 1.0, 0.5),
    "point": (1.0, 0.0, 1.0, 1.0, 1.0, 0.5),
    "two": (1.0, 0.0, 0.0, 1.0, 1.0, 1.5),
    "three": (0.0, 0.0, 0.0, 1.0, 1.0, 1.2),
    "thumb": (0.0, 1.0, 1.0, 1.0, 1.0, 0.5),
    "little": (1.0, 1.0, 1.0, 1.0, 0.0, 0.8),
    "angle": (0.0, 0.0, 1.0, 1.0, 1.0, 0.8),
    "claw": (0.4, 0.5, 0.5, 0.5, 0.5, 1.5),
    "pinch": (0.7, 0.75, 0.1, 0.05, 0.0, 1.1),
}
"""Curl of thumb, index, middle, ring and pinky (0 straight, 1 closed), then the spread of the fingers."""

REST_SHAPE = (0.3, 0.3, 0.35, 0.4, 0.45, 0.5)


def hand_points(shape: np.ndarray) -> np.ndarray:
    """Compute the points of right hands from their shapes.

    Args:
        shape: (T, 6), curl of thumb, index, middle, ring, pinky, then the spread.

    Returns:
        float64 (T, 21, 3) in the palm frame: wrist, then four points per finger from base to tip.

    Example:
        >>> points = hand_points(np.array([HAND_SHAPES["flat"], HAND_SHAPES["fist"]]))
        >>> (points[:, 12, 1] > 0.6).tolist()  # the middle finger is straight, then closed
        [True, False]
    """
    curl, spread = shape[:, :5], shape[:, 5:]
    plane = _SPLAY * np.where(np.arange(5) == 0, 1.0, spread)  # (T, 5), direction within the palm
    bend = np.cumsum(curl[..., None] * _FLEXION, axis=-1)  # (T, 5, 3), direction out of the palm
    plane = np.repeat(plane[..., None], 3, axis=-1)
    # The thumb closes across the palm rather than into it.
    plane[:, 0] -= curl[:, :1] * np.deg2rad([55.0, 95.0, 120.0])
    bend[:, 0] = np.deg2rad(18.0) + curl[:, :1] * np.deg2rad([25.0, 30.0, 30.0])
    direction = np.stack([np.cos(bend) * np.sin(plane), np.cos(bend) * np.cos(plane), np.sin(bend)], axis=-1)
    joints = _BASES[:, None] + np.cumsum(direction * _BONES[..., None], axis=-2)  # (T, 5, 3, 3)
    fingers = np.concatenate([np.broadcast_to(_BASES[:, None], (len(shape), 5, 1, 3)), joints], axis=2)
    return np.concatenate([np.zeros((len(shape), 1, 3)), fingers.reshape(len(shape), 20, 3)], axis=1)


def palm_frame(heading: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Compute the rotation from the palm frame to image axes.

    Args:
        heading: (T, 3), direction of the straight fingers in image axes, of any length.
        roll: (T,), rotation about that direction in radians; 0 turns the palm to the camera.

    Returns:
        float64 (T, 3, 3), right-handed: `points @ frame` maps points from the palm frame to image axes.
    """
    y = heading / np.linalg.norm(heading, axis=-1, keepdims=True)
    z = np.array([0.0, 0.0, -1.0]) + y * y[:, 2:]  # toward the camera, made orthogonal to y
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    x = np.cross(y, z)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=1)


def bend_arm(shoulder: np.ndarray, target: np.ndarray, upper: float, lower: float) -> tuple[np.ndarray, np.ndarray]:
    """Solve two-bone inverse kinematics, with the elbow down and outward.

    Args:
        shoulder: (T, 3), of the right arm; y is down, outward is negative x.
        target: (T, 3), desired position of the wrist; if out of reach, the wrist is as close as the arm allows.
        upper: Length of the upper arm.
        lower: Length of the forearm.

    Returns:
        Positions of elbow and wrist, both (T, 3).

    Example:
        >>> elbow, wrist = bend_arm(np.zeros((1, 3)), np.array([[0.0, 9.0, 0.0]]), 0.8, 0.7)
        >>> round(float(np.linalg.norm(elbow)), 3), bool(wrist[0, 1] < 1.5)
        (0.8, True)
    """
    reach = target - shoulder
    distance = np.linalg.norm(reach, axis=-1, keepdims=True)
    along = reach / np.maximum(distance, 1e-9)
    distance = np.clip(distance, abs(upper - lower) + 0.05, (upper + lower) * 0.995)
    foot = (upper**2 - lower**2 + distance**2) / (2 * distance)
    height = np.sqrt(np.maximum(upper**2 - foot**2, 0.0))
    pole = np.array([-0.55, 1.0, 0.25])
    pole = pole - along * (along @ pole)[..., None]
    pole /= np.maximum(np.linalg.norm(pole, axis=-1, keepdims=True), 1e-9)
    return shoulder + foot * along + height * pole, shoulder + distance * along


def face_names() -> tuple[str, ...]:
    """Return the names of the 136 face points in the order of the layout."""
    skeleton = get_skeleton("karsl_184")
    return skeleton.names[skeleton.groups["face"]]


def iris_rows() -> np.ndarray:
    """Return the rows of the iris points among the 136, int64 (8,). Extractors without refinement omit them."""
    return np.array([row for row, name in enumerate(face_names()) if "_iris_" in name])


@cache
def face_template() -> np.ndarray:
    """Return the neutral face, made of parametric curves.

    Returns:
        float64 (136, 3): x to the right of the image, y down, z away from the camera; the distance from chin to
        forehead is 1, the center is 0.

    Example:
        >>> points = dict(zip(face_names(), face_template().round(2).tolist()))
        >>> points["oval_top"][:2], points["oval_bottom"][:2]
        ([0.0, -0.5], [0.0, 0.5])
    """
    right = _oval() | _lips() | _eye() | _brow()  # with the midline; the left side is the mirror image
    left = {mirror_name(name): (-x, y) for name, (x, y) in right.items()}
    xy = np.array([(left | right)[name] for name in face_names()])
    bulge = 0.28 * np.sqrt(np.clip(1 - (xy[:, 0] / 0.42) ** 2 - (xy[:, 1] / 0.55) ** 2, 0, None))
    template = np.column_stack([xy, -bulge])
    template.flags.writeable = False
    return template


def _oval() -> _Points:
    points = {"oval_top": (0.0, -0.5), "oval_bottom": (0.0, 0.5)}
    for k in range(17):  # from the top down
        angle = np.pi * (k + 1) / 18
        y = -0.5 * np.cos(angle)
        points[f"right_oval_{k}"] = (-0.385 * np.sin(angle) ** 0.85 * (1 - 0.7 * max(y, 0.0) ** 2), y)
    return points


def _lips() -> _Points:
    points = {}
    for name, half_width, depth, first in (
        ("lips_outer_lower", 0.145, 0.062, 0),
        ("lips_outer_upper", 0.145, -0.045, 1),
        ("lips_inner_lower", 0.115, 0.022, 0),
        ("lips_inner_upper", 0.115, -0.008, 1),
    ):
        for step in range(first, 6):  # from the right corner to the middle; upper curves omit the corner
            u = step / 5 - 1
            bow = 0.012 * np.exp(-((u / 0.15) ** 2)) if first else 0.0
            key = name if step == 5 else f"right_{name}_{step - first}"
            points[key] = (half_width * u, 0.25 + depth * (1 - u * u) + bow)
    return points


def _eye() -> _Points:
    points = {}
    for name, count, depth in (("lower", 9, 0.024), ("upper", 7, -0.034)):
        ends = 1 if count == 9 else 0.75  # the lower curve has both corners
        for k, u in enumerate(np.linspace(ends, -ends, count)):  # outer corner first
            points[f"right_eye_{name}_{k}"] = (-0.165 - 0.078 * u, -0.07 + depth * (1 - u * u) - 0.006 * u)
    for k, angle in enumerate(np.arange(4) * np.pi / 2):
        points[f"right_iris_{k}"] = (-0.165 + 0.022 * np.cos(angle), -0.077 - 0.022 * np.sin(angle))
    return points


def _brow() -> _Points:
    points = {}
    for name, height in (("lower", -0.165), ("upper", -0.195)):
        for k, u in enumerate(np.linspace(1, -1, 5)):  # outer end first
            points[f"right_brow_{name}_{k}"] = (-0.18 - 0.105 * u, height - 0.03 * (1 - (u - 0.3) ** 2))
    return points
