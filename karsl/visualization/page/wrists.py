"""Whether hands hang on their own arms: what a flip that swaps hands but not arms gets wrong.

For each side: the share of frames in which the hand's wrist is nearer to the wrist of its own arm than to that of the
other, among frames that tell: all three are seen, and the arms' wrists are not held together. Right data stays near 1 even
where hands cross, for a hand's wrist and its arm's wrist are the same place of the body.
"""

from __future__ import annotations

import numpy as np

from karsl.skeletons import Skeleton

SIDES = ("right", "left")
_TOGETHER = 0.3  # shoulder widths: wrists nearer to each other than this belong to either arm
_LOW, _FEW = 0.6, 3  # a share below is flagged, unless it is of so few frames that one bad detection makes it


def own_wrist(points: np.ndarray, skeleton: Skeleton) -> dict[str, tuple[float, int]]:
    """Share of frames with the hand on its own arm, and the number of frames that tell, for each side that has any.

    Args:
        points: float (T, V, 2 or 3), NaN where missing.
        skeleton: Of the points.

    Returns:
        Side to share in [0, 1] and count; empty where the skeleton has no arms or no hands.

    Example:
        >>> arms = Skeleton("s", (("p", ("left_wrist", "right_wrist", "left_hand_wrist")),))
        >>> own_wrist(np.array([[[0.0, 0], [9, 0], [1, 0]], [[0, 0], [9, 0], [8, 0]]]), arms)
        {'left': (0.5, 2)}
    """
    found = {}
    least = _TOGETHER * _shoulder_width(points, skeleton)
    for side, other in (SIDES, SIDES[::-1]):
        names = (f"{side}_hand_wrist", f"{side}_wrist", f"{other}_wrist")
        if not set(names) <= set(skeleton.names):
            continue
        hand, own, opposite = np.moveaxis(points[:, skeleton.indices(names), :2], 1, 0)
        apart = np.linalg.norm(own - opposite, axis=-1) > least
        near, far = np.linalg.norm(hand - own, axis=-1), np.linalg.norm(hand - opposite, axis=-1)
        told = np.isfinite(near) & np.isfinite(far) & apart
        if told.any():
            found[side] = (float((near < far)[told].mean()), int(told.sum()))
    return found


def _shoulder_width(points: np.ndarray, skeleton: Skeleton) -> float:
    """The median over frames; 0 where there are no shoulders."""
    names = ("left_shoulder", "right_shoulder")
    if not set(names) <= set(skeleton.names):
        return 0.0
    left, right = np.moveaxis(points[:, skeleton.indices(names), :2], 1, 0)
    width = np.linalg.norm(left - right, axis=-1)
    width = width[np.isfinite(width)]
    return float(np.median(width)) if len(width) else 0.0


def is_wrong(found: dict[str, tuple[float, int]]) -> bool:
    """Whether a side's share is too low to be chance."""
    return any(share < _LOW and count >= _FEW for share, count in found.values())
