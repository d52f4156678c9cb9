"""Arms of two segments: where the elbow goes when the wrist is somewhere."""

from __future__ import annotations

import numpy as np


def bend_arm(shoulder: np.ndarray, target: np.ndarray, upper: float, lower: float) -> tuple[np.ndarray, np.ndarray]:
    """Two-bone inverse kinematics with the elbow hanging down and outwards.

    Args:
        shoulder: (T, 3) of the right arm; y is down, and outwards is towards negative x.
        target: (T, 3) where the wrist wants to be; out of reach, it comes as near as the arm allows.
        upper: Length of the upper arm.
        lower: Length of the forearm.

    Returns:
        elbow (T, 3) and wrist (T, 3).

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
