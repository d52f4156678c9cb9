"""An articulated hand of MediaPipe's 21 points: five fingers that bend at their joints."""

from __future__ import annotations

import numpy as np

# Palm frame of a right hand: x towards the thumb, y along the fingers, z out of the palm. Wrist to middle
# tip is 1; the proportions are those of an adult hand, by eye.
_BASES = np.array([[0.15, 0.10, 0.02], [0.17, 0.47, 0.0], [0.05, 0.49, 0.0], [-0.07, 0.46, 0.0], [-0.17, 0.40, 0.0]])
_BONES = np.array([[0.20, 0.15, 0.12], [0.22, 0.14, 0.10], [0.25, 0.15, 0.11], [0.23, 0.14, 0.10], [0.18, 0.10, 0.09]])
_SPLAY = np.deg2rad([48.0, 9.0, 1.0, -7.0, -16.0])
_FLEXION = np.deg2rad([80.0, 100.0, 60.0])  # a closed finger's bend at mcp, pip and dip

#: Curl of thumb, index, middle, ring and pinky (0 straight, 1 closed), then how far the fingers spread.
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
REST_SHAPE = (0.3, 0.3, 0.35, 0.4, 0.45, 0.5)


def hand_points(shape: np.ndarray) -> np.ndarray:
    """Bend the fingers.

    Args:
        shape: (T, 6) curl of thumb, index, middle, ring, pinky, then the spread.

    Returns:
        float64 (T, 21, 3) in the palm frame: wrist, then four points of each finger from its base to its tip.

    Example:
        >>> points = hand_points(np.array([HAND_SHAPES["flat"], HAND_SHAPES["fist"]]))
        >>> (points[:, 12, 1] > 0.6).tolist()  # the middle finger reaches up, then is closed
        [True, False]
    """
    curl, spread = shape[:, :5], shape[:, 5:]
    plane = _SPLAY * np.where(np.arange(5) == 0, 1.0, spread)  # (T, 5) direction within the palm
    bend = np.cumsum(curl[..., None] * _FLEXION, axis=-1)  # (T, 5, 3) direction out of the palm
    plane = np.repeat(plane[..., None], 3, axis=-1)
    # A thumb closes across the palm rather than into it.
    plane[:, 0] -= curl[:, :1] * np.deg2rad([55.0, 95.0, 120.0])
    bend[:, 0] = np.deg2rad(18.0) + curl[:, :1] * np.deg2rad([25.0, 30.0, 30.0])
    direction = np.stack([np.cos(bend) * np.sin(plane), np.cos(bend) * np.cos(plane), np.sin(bend)], axis=-1)
    joints = _BASES[:, None] + np.cumsum(direction * _BONES[..., None], axis=-2)  # (T, 5, 3, 3)
    fingers = np.concatenate([np.broadcast_to(_BASES[:, None], (len(shape), 5, 1, 3)), joints], axis=2)
    return np.concatenate([np.zeros((len(shape), 1, 3)), fingers.reshape(len(shape), 20, 3)], axis=1)


def palm_frame(heading: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Turn the palm frame into the picture.

    Args:
        heading: (T, 3) direction of the straight fingers in picture axes, of any length.
        roll: (T,) turn about that direction, radians; 0 shows the palm to the camera.

    Returns:
        float64 (T, 3, 3), right-handed: `points @ frame` moves points from the palm frame to picture axes.
    """
    y = heading / np.linalg.norm(heading, axis=-1, keepdims=True)
    z = np.array([0.0, 0.0, -1.0]) + y * y[:, 2:]  # towards the camera, made orthogonal to y
    z /= np.linalg.norm(z, axis=-1, keepdims=True)
    x = np.cross(y, z)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([cos * x + sin * z, y, cos * z - sin * x], axis=1)
