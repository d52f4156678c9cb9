"""Mirror by names, turn, scale and shift with numbers checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from karsl.datasets.transforms import CenterScale, RandomAffine, RandomFlip
from karsl.errors import ConfigError, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton, mirror_name
from karsl.skeletons.catalog import _FACTORIES
from karsl.testing.strategies import clips, make_clip, skeletons

ARMS = Skeleton("arms", (("pose", ("left_wrist", "right_wrist", "nose")),))
FLIP, AFFINE = RandomFlip(1.0), RandomAffine((90, 90), (2, 2), shift=(0, 0))
STILL = dict(rotation_deg=(0, 0), scale=(1, 1), shift=(0, 0))


# ---- RandomFlip --------------------------------------------------------------------------------------------------------


def test_flip_moves_left_wrist_to_where_the_mirrored_right_wrist_was(clip):
    out = FLIP(clip([[(0.75, 0.5, 3), (0.25, 0.125, 4), (0.5, 0, 5)]], ARMS))
    assert out["keypoint"].tolist() == [[[0.75, 0.125, 4], [0.25, 0.5, 3], [0.5, 0, 5]]]
    assert out["flip"] is True


def test_flip_moves_the_score_along(clip, xs):
    out = FLIP(clip([[0.75, None, 0.5]], ARMS))
    assert xs(out) == [[None, 0.25, 0.5]]
    assert out["keypoint_score"].tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("name", _FACTORIES)  # those that are shipped: tests register others
def test_flip_moves_every_point_of_every_skeleton_to_its_named_partner(name):
    clip = make_clip(2, name)
    out, names = FLIP(clip), clip["skeleton"].names
    for point, index in zip(names, range(len(names)), strict=True):
        partner = clip["skeleton"].index(mirror_name(point))
        x, y, z = clip["keypoint"][:, index].T
        np.testing.assert_array_equal(out["keypoint"][:, partner], np.stack([1 - x, y, z], -1), err_msg=point)
        np.testing.assert_array_equal(out["keypoint_score"][:, partner], clip["keypoint_score"][:, index])


@pytest.mark.parametrize("name", _FACTORIES)  # those that are shipped: tests register others
def test_flip_moves_left_wrist_to_right_and_keeps_the_midline_on_every_skeleton(name):
    skeleton = get_skeleton(name)
    keypoint = np.zeros((1, skeleton.num_keypoints, 3), np.float32)
    wrists = [wrist for wrist in ("hand_wrist", "wrist") if f"left_{wrist}" in skeleton.names]
    assert wrists
    for side, x in (("left", 0.75), ("right", 0.125)):
        keypoint[0, [skeleton.index(f"{side}_{wrist}") for wrist in wrists], 0] = x
    middle = [skeleton.index(n) for n in skeleton.names if mirror_name(n) == n]
    keypoint[0, middle, 0] = np.arange(len(middle)) / 1024
    out = FLIP(dict(keypoint=keypoint, keypoint_score=np.ones(keypoint.shape[:2], np.float32), skeleton=skeleton))
    for point in wrists:
        assert out["keypoint"][0, skeleton.index(f"left_{point}"), 0] == 1 - 0.125
        assert out["keypoint"][0, skeleton.index(f"right_{point}"), 0] == 1 - 0.75
    assert out["keypoint"][0, middle, 0].tolist() == [1 - k / 1024 for k in range(len(middle))]


def test_flip_after_centering_mirrors_about_the_origin(clip):
    out = FLIP(clip([[3, -1, 0.5]], ARMS, centered=True))
    assert out["keypoint"][0, :, 0].tolist() == [1, -3, -0.5]


def test_flip_and_centering_commute():
    clip = make_clip(4, "karsl_184", missing="scattered", seed=3)
    one, other = FLIP(CenterScale()(clip)), CenterScale()(FLIP(clip))
    np.testing.assert_allclose(one["keypoint"], other["keypoint"], atol=1e-5)


@pytest.mark.parametrize("name", _FACTORIES)  # those that are shipped: tests register others
@pytest.mark.parametrize("centered", [False, True])
def test_flipping_twice_is_the_identity_to_the_last_bit(name, centered):
    clip = {**make_clip(3, name, missing="scattered"), "centered": centered}
    out = FLIP(FLIP(clip))
    np.testing.assert_array_equal(out["keypoint"], clip["keypoint"])
    np.testing.assert_array_equal(out["keypoint_score"], clip["keypoint_score"])


@given(skeletons().flatmap(clips))
def test_flip_is_an_involution_that_swaps_names_on_any_skeleton(clip):
    once = FLIP(clip)
    for point in clip["skeleton"].names:
        index, partner = clip["skeleton"].index(point), clip["skeleton"].index(mirror_name(point))
        np.testing.assert_array_equal(once["keypoint"][:, partner, 0], 1 - clip["keypoint"][:, index, 0])
    np.testing.assert_array_equal(FLIP(once)["keypoint"], clip["keypoint"])


def test_a_clip_that_is_not_flipped_keeps_its_arrays(clip):
    start = clip([[1, 2, 3]], ARMS)
    out = RandomFlip(0.0)(start)
    assert out["keypoint"] is start["keypoint"]
    assert out["flip"] is False


def test_flip_comes_as_often_as_asked(clip):
    flips = [RandomFlip(0.25)(clip([[1, 2, 3]], ARMS, sample_key=np.uint64(key)))["flip"] for key in range(800)]
    assert 0.2 < np.mean(flips) < 0.3


def test_flip_names_the_point_that_has_no_partner(clip):
    hand = get_skeleton("karsl_184").select(["rh", "left_hand_wrist"])
    with pytest.raises(SkeletonError, match="no mirror for 'right_hand_thumb_cmc' .and 19 more.*SelectKeypoints"):
        FLIP(clip([[0] * 22], hand))


@pytest.mark.parametrize("prob", [-0.1, 1.1, "half", float("nan")])
def test_flip_rejects_what_is_no_probability(prob):
    with pytest.raises(ConfigError, match="RandomFlip: prob=.*not a probability"):
        RandomFlip(prob)


# ---- RandomAffine ------------------------------------------------------------------------------------------------------


def test_affine_turns_from_x_to_y_about_the_center_of_the_image(clip):
    turn = RandomAffine((90, 90), (1, 1), shift=(0, 0))
    out = turn(clip([[(1, 0.5, 7), (0.5, 1, 7), (0.5, 0.5, 7), (0, 0, 7)]]))
    expected = [[0.5, 1, 7], [0, 0.5, 7], [0.5, 0.5, 7], [1, 0, 7]]
    np.testing.assert_allclose(out["keypoint"][0], expected, atol=1e-6)


def test_affine_scales_about_the_center_and_z_along(clip):
    out = RandomAffine((0, 0), (2, 2), shift=(0, 0))(clip([[(1, 0.5, 7), (0.5, 0.25, -1)]]))
    assert out["keypoint"][0].tolist() == [[1.5, 0.5, 14], [0.5, 0, -2]]


def test_affine_turns_without_shearing_in_a_picture_twice_as_wide_as_high(clip):
    turn = RandomAffine((90, 90), (1, 1), shift=(0, 0), aspect=2)
    out = turn(clip([[(0.75, 0.5, 7), (0.5, 1, 0), (0.25, 0.5, 0)]]))  # half a height right of the middle, below, left
    np.testing.assert_allclose(out["keypoint"][0], [[0.5, 1, 7], [0.25, 0.5, 0], [0.5, 0, 0]], atol=1e-7)


def test_affine_shifts_after_turning_and_scaling(clip):
    out = RandomAffine((90, 90), (2, 2), shift=(0.25, 0.25))(clip([[(1, 0.5, 0)]]))
    np.testing.assert_allclose(out["keypoint"][0], [[0.75, 1.75, 0]], atol=1e-6)


def test_affine_after_centering_turns_about_the_origin(clip):
    out = AFFINE(clip([[(1, 0, 1), (0, 0, 1), (0, 3, 1)]], centered=True))
    np.testing.assert_allclose(out["keypoint"][0], [[0, 2, 2], [0, 0, 2], [-6, 0, 2]], atol=1e-6)


def test_affine_samples_x_and_y_of_the_shift_separately_and_once_per_clip(clip):
    out = RandomAffine(**{**STILL, "shift": (-1, 1)})(clip([[(0, 0, 0), (1, 1, 1)], [(2, 2, 2), (3, 3, 3)]]))
    moved = out["keypoint"] - np.arange(4, dtype=np.float32).reshape(2, 2, 1)
    assert np.ptp(moved[..., 0]) < 1e-6
    assert np.ptp(moved[..., 1]) < 1e-6
    assert abs(moved[0, 0, 0] - moved[0, 0, 1]) > 1e-3
    assert (moved[..., 2] == 0).all()


def test_affine_per_group_turns_each_group_about_its_own_middle(clip):
    two = Skeleton("two", (("a", ("a0", "a1")), ("b", ("b0", "b1"))))
    turn = RandomAffine((90, 90), (2, 2), shift=(0, 0), per_group=True)
    out = turn(clip([[(0, 0, 0), (2, 0, 0), (10, 10, 1), (10, 12, 1)]], two))
    expected = [[1, -2, 0], [1, 2, 0], [12, 11, 2], [8, 11, 2]]
    np.testing.assert_allclose(out["keypoint"][0], expected, atol=1e-5)


def test_affine_per_group_samples_for_each_group_and_the_middle_ignores_missing_points(clip):
    two = Skeleton("two", (("a", ("a0", "a1")), ("b", ("b0", "b1"))))
    out = RandomAffine(**{**STILL, "shift": (-1, 1)}, per_group=True)(clip([[0, None, 0, 0]], two))
    a, none, b0, b1 = out["keypoint"][0, :, 0]
    assert np.isnan(none)
    assert b0 == b1 != a
    grow = RandomAffine((0, 0), (3, 3), shift=(0, 0), per_group=True)
    out = grow(clip([[4, None, 0, 2], [6, None, None, None]], two))
    np.testing.assert_array_equal(out["keypoint"][..., 0], [[2, np.nan, -2, 4], [8, np.nan, np.nan, np.nan]])


@pytest.mark.parametrize("per_group", [False, True])
@pytest.mark.parametrize("missing", ["scattered", "group", "all"])
def test_affine_leaves_missing_points_missing_and_scores_alone(per_group, missing):
    clip = make_clip(5, missing=missing, seed=2)
    out = RandomAffine(per_group=per_group)(clip)
    np.testing.assert_array_equal(np.isnan(out["keypoint"]), np.isnan(clip["keypoint"]))
    assert out["keypoint_score"] is clip["keypoint_score"]


def test_affine_stays_within_its_ranges(clip):
    rows = [[(1, 0.5, 1), (0.5, 0.5, 0)]]
    for key in range(100):
        out = RandomAffine((-30, 30), (0.5, 2), shift=(-0.1, 0.1))(clip(rows, sample_key=np.uint64(key)))["keypoint"][0]
        arm = (out[0] - out[1]).astype(np.float64)
        assert abs(np.rad2deg(np.arctan2(arm[1], arm[0]))) < 30.001
        assert 0.4999 < 2 * np.hypot(*arm[:2]) < 2.0001
        assert out[0, 2] == pytest.approx(2 * np.hypot(*arm[:2]), rel=1e-4)
        assert (np.abs(out[1, :2] - 0.5) < 0.1001).all()


@pytest.mark.parametrize("options", [dict(scale=(0, 1)), dict(scale=2), dict(rotation_deg=(5, -5)), dict(shift=("a", "b"))])
def test_affine_rejects_ranges_that_are_none(options):
    with pytest.raises(ConfigError, match="RandomAffine: .*expected two ascending numbers"):
        RandomAffine(**options)


@pytest.mark.parametrize("aspect", [0, -1, "16:9", float("inf")])
def test_affine_rejects_an_image_of_no_width(aspect):
    with pytest.raises(ConfigError, match="RandomAffine: aspect=.*width divided by its height"):
        RandomAffine(aspect=aspect)
