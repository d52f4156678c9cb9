"""Origin and unit by named points; numbers for missing points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from karsl.datasets.transforms import CenterScale, FillMissing
from karsl.errors import ConfigError, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.testing.strategies import clips, make_clip

BODY = Skeleton("body", (("pose", ("left_shoulder", "right_shoulder", "nose")),))
GROUPS = Skeleton(
    "groups",
    (
        ("pose", ("left_shoulder", "right_shoulder")),
        ("rh", ("right_hand_wrist", "right_hand_middle_mcp", "right_hand_pinky_tip")),
    ),
)


# ---- CenterScale -------------------------------------------------------------------------------------------------------


def test_the_middle_of_the_shoulders_becomes_0_and_their_distance_1(clip):
    out = CenterScale()(clip([[(6, 2, 4), (2, 2, 4), (4, 0, 8)]], BODY))
    assert out["keypoint"][0].tolist() == [[0.5, 0, 1], [-0.5, 0, 1], [0, -0.5, 2]]
    assert out["centered"] is True


def test_one_origin_and_unit_serve_the_whole_clip_so_that_motion_stays(clip, xs):
    out = CenterScale()(clip([[6, 2, 4], [8, 4, 6]], BODY))  # middles 4 and 6, distance 4
    assert xs(out) == [[0.25, -0.75, -0.25], [0.75, -0.25, 0.25]]


def test_only_frames_with_both_shoulders_determine_center_and_scale(clip, xs):
    out = CenterScale()(clip([[6, 2, 4], [100, None, 6]], BODY))
    assert xs(out) == [[0.5, -0.5, 0], [24, None, 0.5]]


@pytest.mark.parametrize("name", ["karsl_184", "holistic_543", "msl_226"])
def test_shoulders_are_at_unit_distance_about_the_origin_on_every_skeleton(name):
    out = CenterScale()(make_clip(1, name, seed=4))
    ends = out["keypoint"][0, out["skeleton"].indices(["left_shoulder", "right_shoulder"]), :2].astype(np.float64)
    np.testing.assert_allclose(ends.mean(0), 0, atol=1e-5)
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(1, rel=1e-5)


def test_without_shoulders_mean_and_spread_of_what_is_seen_serve(clip):
    start = clip([[None, (1, 0, 2), (3, 0, 4)], [None, (1, 2, 2), (3, 2, 4)]], BODY)  # mean (2, 1), radius sqrt 2
    out = CenterScale()(start)
    r = 2**-0.5
    expected = [[[-r, -r, 2 * r], [r, -r, 4 * r]], [[-r, r, 2 * r], [r, r, 4 * r]]]
    np.testing.assert_allclose(out["keypoint"][:, 1:], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([3, 3, 3], [0, 0, 0]),  # all at one point: no unit to divide by
        ([3, 3, 7], [-(2**-0.5), -(2**-0.5), 2**0.5]),  # shoulders on each other: mean and spread
        ([None, None, 5], [None, None, 0]),
        ([None, None, None], [None, None, None]),
    ],
)
def test_a_body_without_extent_gives_finite_numbers(clip, xs, row, expected):
    (found,) = xs(CenterScale()(clip([row], BODY)))
    assert found == [None if e is None else pytest.approx(e, rel=1e-6) for e in expected]


def test_per_group_each_hand_sits_at_its_wrist_with_its_palm_as_unit(clip, xs):
    out = CenterScale(per_group=True)(clip([[6, 2, 10, 12, 16]], GROUPS))
    assert xs(out) == [[0.5, -0.5, 0, 1, 3]]


def test_per_group_an_unseen_wrist_makes_its_group_alone_fall_back(clip, xs):
    out = CenterScale(per_group=True)(clip([[6, 2, None, 12, 16]], GROUPS))
    assert xs(out) == [[0.5, -0.5, None, -1, 1]]


@pytest.mark.parametrize("name", ["karsl_184", "holistic_543", "msl_226"])
def test_per_group_names_exist_in_every_skeleton(name):
    out = CenterScale(per_group=True)(make_clip(3, name))
    for side in ("left", "right"):
        assert np.abs(out["keypoint"][:, out["skeleton"].index(f"{side}_hand_wrist"), :2].mean(0)).max() < 1e-4


def test_per_group_works_on_hands_alone():
    hands = get_skeleton("karsl_184").select(["rh", "lh"])
    assert np.isfinite(CenterScale(per_group=True)(make_clip(3, hands))["keypoint"]).all()


def test_own_anchors_may_come_from_another_group(clip, xs):
    anchors = {"rh": dict(origin=["left_shoulder"], scale=["left_shoulder", "right_shoulder"])}
    out = CenterScale(per_group=True, anchors=anchors)(clip([[6, 2, 10, 12, 16]], GROUPS))
    assert xs(out) == [[1, -1, 1, 1.5, 2.5]]  # pose, not named, takes mean 4 and radius 2


def test_own_anchors_of_the_body(clip, xs):
    out = CenterScale(anchors={"body": dict(origin=["nose"], scale=["nose", "left_shoulder"])})(clip([[6, 2, 4]], BODY))
    assert xs(out) == [[1, -1, 0]]


def test_a_named_point_that_the_skeleton_lacks_is_named(clip):
    with pytest.raises(SkeletonError, match="'points' has no keypoint 'left_shoulder'"):
        CenterScale()(clip([[1, 2]]))


def test_an_anchor_of_an_unknown_group_is_rejected_and_not_silently_unused(clip):
    anchors = {"hand": dict(origin=["right_hand_wrist"], scale=["right_hand_wrist", "right_hand_middle_mcp"])}
    with pytest.raises(SkeletonError, match=r"anchors of \['hand'\], but 'groups' has groups \['pose', 'rh'\]"):
        CenterScale(per_group=True, anchors=anchors)(clip([[6, 2, 10, 12, 16]], GROUPS))
    with pytest.raises(ConfigError, match=r"anchors of \['hand'\] need per_group=True"):
        CenterScale(anchors=anchors)


@pytest.mark.parametrize(
    "anchor",
    [
        dict(origin=["nose"]),
        dict(origin=["nose"], scale=["nose"]),
        dict(origin="nose", scale=["nose", "mouth_left"]),
        dict(origin=[], scale=["nose", "mouth_left"]),
        dict(origin=["nose"], scale=["nose", "mouth_left"], unit=1),
        "body",
        5,
    ],
)
def test_invalid_anchors_are_rejected(anchor):
    for anchors in ({"body": anchor}, anchor):
        with pytest.raises(ConfigError, match="anchors=.*; expected groups, each as {'origin': names, 'scale': two names}"):
            CenterScale(anchors=anchors)


# ---- FillMissing -------------------------------------------------------------------------------------------------------


ROWS = [[None, 1, None], [4, None, None], [None, None, None], [8, 4, None], [None, None, None]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("constant", [[9, 1, 9], [4, 9, 9], [9, 9, 9], [8, 4, 9], [9, 9, 9]]),
        ("previous", [[4, 1, 9], [4, 1, 9], [4, 1, 9], [8, 4, 9], [8, 4, 9]]),
        ("linear", [[4, 1, 9], [4, 2, 9], [6, 3, 9], [8, 4, 9], [8, 4, 9]]),
    ],
)
def test_fill_gives_numbers_and_leaves_the_scores(clip, mode, expected):
    start = clip(ROWS)
    out = FillMissing(mode, value=9)(start)
    assert out["keypoint"][..., 0].tolist() == expected
    assert out["keypoint_score"] is start["keypoint_score"]


@pytest.mark.parametrize("mode", FillMissing.MODES)
def test_fill_gives_every_coordinate(clip, mode):
    out = FillMissing(mode, value=0.5)(clip([[(1, 2, 3), None], [None, None]]))
    last = [0.5] * 3 if mode == "constant" else [1, 2, 3]
    assert out["keypoint"].tolist() == [[[1, 2, 3], [0.5] * 3], [last, [0.5] * 3]]


@given(clips("msl_226"))
def test_fill_changes_missing_points_alone_and_leaves_no_nan(clip):
    there = clip["keypoint_score"] > 0
    for mode in FillMissing.MODES:
        out = FillMissing(mode)(clip)["keypoint"]
        assert np.isfinite(out).all()
        np.testing.assert_array_equal(out[there], clip["keypoint"][there])


def test_fill_rejects_a_mode_it_does_not_know():
    with pytest.raises(ConfigError, match="FillMissing: mode='mean'; expected one of"):
        FillMissing("mean")
    with pytest.raises(ConfigError, match="FillMissing: value='a'; expected a finite number"):
        FillMissing(value="a")
