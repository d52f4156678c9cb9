"""Arms, hands, faces and signs of the synthetic corpus."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from karsl.skeletons import get_skeleton, mirror_name
from karsl.testing.body import HAND_SHAPES, bend_arm, face_names, face_template, hand_points, palm_frame
from karsl.testing.performance import make_signer, render_sign
from karsl.testing.signs import MOVEMENTS, WORDS, make_signs, stroke_path


def test_an_arm_keeps_the_lengths_of_its_bones_and_its_elbow_hangs_low():
    targets = np.random.default_rng(0).uniform(-2, 2, (200, 3))
    shoulder = np.zeros((200, 3))
    elbow, wrist = bend_arm(shoulder, targets, 0.8, 0.7)
    np.testing.assert_allclose(np.linalg.norm(elbow, axis=-1), 0.8, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(wrist - elbow, axis=-1), 0.7, atol=1e-9)
    half = np.linalg.norm(targets, axis=-1) < 1.4
    np.testing.assert_allclose(wrist[half], targets[half], atol=1e-9)


def test_a_wrist_straight_ahead_bends_the_elbow_downwards():
    elbow, _ = bend_arm(np.zeros((1, 3)), np.array([[0.0, 0.0, -1.0]]), 0.8, 0.8)
    assert elbow[0, 1] > 0.3  # y is down
    assert elbow[0, 0] < 0  # outwards of a right arm


def test_straight_fingers_reach_further_than_closed_ones():
    flat, fist, point = hand_points(np.array([HAND_SHAPES[name] for name in ("flat", "fist", "point")]))
    reach = {name: np.linalg.norm(hand[[8, 12, 16, 20]], axis=-1) for name, hand in (("flat", flat), ("fist", fist))}
    assert (reach["flat"] > 0.6).all()
    assert (reach["fist"] < 0.6 * reach["flat"] + 0.15).all()
    assert np.linalg.norm(point[8]) > np.linalg.norm(point[12]) + 0.2
    assert (flat[0] == 0).all()


def test_a_palm_towards_the_camera_with_fingers_up_has_its_thumb_towards_the_body():
    (frame,) = palm_frame(np.array([[0.0, -1.0, 0.0]]), np.zeros(1))
    hand = hand_points(np.array([HAND_SHAPES["flat"]]))[0] @ frame
    assert hand[12, 1] < -0.9  # the middle finger points up
    assert hand[4, 0] > hand[20, 0]  # the signer's right hand: thumb to the picture's right
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-12)


def test_the_face_is_its_own_mirror_image_by_names():
    point_of = dict(zip(face_names(), face_template(), strict=True))
    for name, point in point_of.items():
        np.testing.assert_allclose(point_of[mirror_name(name)], point * [-1, 1, 1], atol=1e-12)
    assert point_of["right_eye_lower_0"][0] < point_of["right_eye_lower_8"][0] < 0  # outer corner first, picture's left
    assert point_of["lips_outer_upper"][1] < point_of["lips_inner_upper"][1] < point_of["lips_inner_lower"][1]
    assert point_of["right_brow_upper_2"][1] < point_of["right_eye_upper_3"][1]


def test_any_two_signs_differ_in_two_of_location_movement_and_shape():
    signs = make_signs(0)
    assert len(signs) == len(WORDS) == len({w for w, _ in WORDS}) == len({e for _, e in WORDS}) >= 31
    for a, b in combinations(signs, 2):
        assert (a.location != b.location) + (a.movement != b.movement) + (a.shape != b.shape) >= 2


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_every_movement_goes_somewhere_and_stays_near(movement):
    offset, turn = stroke_path(movement, np.linspace(0, 1, 50))
    assert np.ptp(offset, axis=0).max() + np.ptp(turn) > 0.15
    assert np.abs(offset).max() < 0.6


def test_an_unknown_movement_is_named():
    with pytest.raises(ValueError, match="movement 'jump' is not one of tap"):
        stroke_path("jump", np.zeros(1))


def test_a_left_handed_performance_moves_the_left_arm():
    skeleton, sign = get_skeleton("karsl_184"), next(s for s in make_signs(0) if s.other == "rest")
    moved = []
    for seed in range(40):
        clip = render_sign(sign, make_signer("01", 0), np.random.default_rng(seed)).keypoint
        right, left = (np.ptp(clip[:, skeleton.index(f"{s}_wrist"), 1]) for s in ("right", "left"))
        moved.append(left > right)
    assert 0 < sum(moved) < 20
