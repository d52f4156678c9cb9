"""Hands are checked against the wrists of both arms."""

from __future__ import annotations

import numpy as np

from karsl.audit.hands import attached_wrist, is_implausible
from karsl.skeletons import Skeleton, get_skeleton

ARMS = Skeleton(
    "arms",
    (
        ("pose", ("left_wrist", "right_wrist")),
        ("rh", ("right_hand_wrist", "right_hand_thumb_tip")),
        ("lh", ("left_hand_wrist", "left_hand_thumb_tip")),
    ),
)


def arms(frames: int = 4) -> np.ndarray:
    """Hands at their own wrists: the right at x = 0, the left at x = 1."""
    one = [[1.0, 0.5], [0.0, 0.5], [0.1, 0.5], [0.2, 0.4], [0.9, 0.5], [0.8, 0.4]]
    return np.tile(np.array(one), (frames, 1, 1))


def swapped(frames: int = 4) -> np.ndarray:
    """Hands at the wrists of the other arms."""
    points = arms(frames)
    points[:, 2:4], points[:, 4:6] = arms(frames)[:, 4:6], arms(frames)[:, 2:4]
    return points


def test_hands_at_their_own_wrists_are_plausible():
    assert attached_wrist(arms(), ARMS) == {"right": (1.0, 4), "left": (1.0, 4)}
    assert not is_implausible(attached_wrist(arms(), ARMS))


def test_swapped_hands_are_implausible():
    assert attached_wrist(swapped(), ARMS) == {"right": (0.0, 4), "left": (0.0, 4)}
    assert is_implausible(attached_wrist(swapped(), ARMS))


def test_two_swapped_frames_are_too_few_to_judge():
    points = swapped()
    points[2:, 2:] = np.nan
    assert attached_wrist(points, ARMS) == {"right": (0.0, 2), "left": (0.0, 2)}
    assert not is_implausible(attached_wrist(points, ARMS))


def test_a_skeleton_without_arms_has_no_result():
    hands = get_skeleton("karsl_184").select(["rh", "lh"])
    assert attached_wrist(np.zeros((3, 42, 2)), hands) == {}
