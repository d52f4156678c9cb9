"""Hands are checked against the wrists of both arms."""

from __future__ import annotations

import numpy as np

from karsl.audit.hands import attached_wrist, is_implausible
from karsl.skeletons import get_skeleton


def swap_hands(points: np.ndarray) -> np.ndarray:
    """Return the points with each hand at the wrist of the other arm."""
    return points[:, [0, 1, 4, 5, 2, 3]]


def test_hands_at_their_own_wrists_are_plausible(arms):
    assert attached_wrist(*arms) == {"right": (1.0, 4), "left": (1.0, 4)}
    assert not is_implausible(attached_wrist(*arms))


def test_swapped_hands_are_implausible(arms):
    points, skeleton = arms
    assert attached_wrist(swap_hands(points), skeleton) == {"right": (0.0, 4), "left": (0.0, 4)}
    assert is_implausible(attached_wrist(swap_hands(points), skeleton))


def test_two_swapped_frames_are_too_few_to_judge(arms):
    points, skeleton = swap_hands(arms[0]), arms[1]
    points[2:, 2:] = np.nan
    assert attached_wrist(points, skeleton) == {"right": (0.0, 2), "left": (0.0, 2)}
    assert not is_implausible(attached_wrist(points, skeleton))


def test_a_skeleton_without_arms_has_no_result():
    hands = get_skeleton("karsl_184").select(["rh", "lh"])
    assert attached_wrist(np.zeros((3, 42, 2)), hands) == {}
