"""Check that each hand is attached to its own arm.

A hand and its arm each have a wrist keypoint at the same place of the body. A flip that swaps the hands but not the arms,
or a detector that finds one hand twice, puts the wrist of a hand at the wrist of the other arm.
"""

from __future__ import annotations

import numpy as np

from karsl.skeletons import Skeleton

MIN_WRIST_DISTANCE = 0.3
"""Shoulder widths; wrists held closer together than this are ambiguous."""
_MIN_SHARE, _MIN_FRAMES = 0.6, 3


def attached_wrist(points: np.ndarray, skeleton: Skeleton) -> dict[str, tuple[float, int]]:
    """Measure how often each hand is nearer to the wrist of its own arm than to that of the other arm.

    Only frames count in which the three wrists are present and the arms' wrists are apart.

    Args:
        points: float (T, V, 2 or 3), NaN where missing.
        skeleton: Skeleton of the points.

    Returns:
        For each side with at least one such frame: share of frames in [0, 1] with the hand on its own arm, and number of
        frames. Empty if the skeleton has no arms or no hands.

    Example:
        >>> arms = Skeleton("s", (("p", ("left_wrist", "right_wrist", "left_hand_wrist")),))
        >>> attached_wrist(np.array([[[0.0, 0], [9, 0], [1, 0]], [[0, 0], [9, 0], [8, 0]]]), arms)
        {'left': (0.5, 2)}
    """
    shares = {}
    min_distance = MIN_WRIST_DISTANCE * _shoulder_width(points, skeleton)
    for side, other in (("right", "left"), ("left", "right")):
        names = (f"{side}_hand_wrist", f"{side}_wrist", f"{other}_wrist")
        if not set(names) <= set(skeleton.names):
            continue
        hand, own, opposite = np.moveaxis(points[:, skeleton.indices(names), :2], 1, 0)
        own_distance = np.linalg.norm(hand - own, axis=-1)
        other_distance = np.linalg.norm(hand - opposite, axis=-1)
        is_apart = np.linalg.norm(own - opposite, axis=-1) > min_distance
        valid = np.isfinite(own_distance) & np.isfinite(other_distance) & is_apart
        if valid.any():
            shares[side] = (float((own_distance < other_distance)[valid].mean()), int(valid.sum()))
    return shares


def is_implausible(shares: dict[str, tuple[float, int]]) -> bool:
    """Return True if a hand is on its own arm in less than 60 % of at least 3 frames.

    Args:
        shares: Result of `attached_wrist`.
    """
    return any(share < _MIN_SHARE and count >= _MIN_FRAMES for share, count in shares.values())


def _shoulder_width(points: np.ndarray, skeleton: Skeleton) -> float:
    """Return the median shoulder width over frames, or 0 without shoulders."""
    names = ("left_shoulder", "right_shoulder")
    if not set(names) <= set(skeleton.names):
        return 0.0
    left, right = np.moveaxis(points[:, skeleton.indices(names), :2], 1, 0)
    width = np.linalg.norm(left - right, axis=-1)
    width = width[np.isfinite(width)]
    return float(np.median(width)) if len(width) else 0.0
