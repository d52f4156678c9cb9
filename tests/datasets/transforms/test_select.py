"""Keeping points by name, and going to another skeleton."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from karsl.datasets.transforms import CenterScale, KeypointDropout, RandomFlip, SelectKeypoints
from karsl.errors import ConfigError, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.testing.strategies import make_clip

FIVE = Skeleton(
    "five",
    (("pose", ("left_wrist", "nose", "right_wrist")), ("hand", ("left_tip", "right_tip"))),
    (("left_wrist", "left_tip"), ("right_wrist", "right_tip")),
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nose"], [2]),
        (["hand"], [4, None]),
        (["right_tip", "left_wrist"], [1, None]),  # array order, whatever order is asked
        (["hand", "left_tip", "nose"], [2, 4, None]),
        (["pose", "hand"], [1, 2, 3, 4, None]),
    ],
)
def test_names_and_groups_are_kept_in_array_order(clip, xs, names, expected):
    out = SelectKeypoints(names)(clip([[1, 2, 3, 4, None]], FIVE))
    assert xs(out) == [expected]
    assert out["skeleton"].num_keypoints == len(expected)


def test_the_skeleton_goes_along_with_groups_bones_and_mirror(clip):
    out = SelectKeypoints(["left_wrist", "right_wrist", "hand"])(clip([[1, 2, 3, 4, 5]], FIVE))["skeleton"]
    assert out.name == "five:4"
    assert out.names == ("left_wrist", "right_wrist", "left_tip", "right_tip")
    assert out.groups == {"pose": slice(0, 2), "hand": slice(2, 4)}
    assert out.edges.tolist() == [[0, 2], [1, 3]]
    assert out.mirror.tolist() == [1, 0, 3, 2]


def test_a_flip_after_selecting_is_right(clip, xs):
    start = clip([[0.25, 0.5, 0.75, 0, 1]], FIVE)
    one = RandomFlip(1.0)(SelectKeypoints(["hand", "left_wrist", "right_wrist"])(start))
    other = SelectKeypoints(["hand", "left_wrist", "right_wrist"])(RandomFlip(1.0)(start))
    assert xs(one) == xs(other) == [[0.25, 0.75, 0, 1]]


def test_flip_and_select_commute_on_hands_of_karsl():
    clip, hands, flip = make_clip(3, missing="scattered"), SelectKeypoints(["rh", "lh"]), RandomFlip(1.0)
    np.testing.assert_array_equal(flip(hands(clip))["keypoint"], hands(flip(clip))["keypoint"])


def test_every_clip_gets_the_same_skeleton_object_so_its_tables_are_made_once():
    select = SelectKeypoints(["rh"])
    assert select(make_clip(2))["skeleton"] is select(make_clip(3))["skeleton"]
    assert pickle.loads(pickle.dumps(select))(make_clip(2))["skeleton"] is select(make_clip(2))["skeleton"]


def test_another_skeleton_is_reached_by_names(clip, xs):
    target = Skeleton("two", (("all", ("right_wrist", "left_tip")),))
    out = SelectKeypoints(skeleton=target)(clip([[1, 2, 3, None, 5]], FIVE))
    assert xs(out) == [[3, None]]
    assert out["skeleton"] is target


def test_holistic_clips_become_karsl_clips_with_hands_in_place_and_irises_missing():
    clip = make_clip(2, "holistic_543")
    out = SelectKeypoints(skeleton="karsl_184", allow_missing=True)(clip)
    assert out["skeleton"] is get_skeleton("karsl_184")
    source, target = clip["skeleton"], out["skeleton"]
    for name in target.names:
        got = out["keypoint"][:, target.index(name)]
        if "iris" in name:
            assert np.isnan(got).all()
            assert (out["keypoint_score"][:, target.index(name)] == 0).all()
        else:
            np.testing.assert_array_equal(got, clip["keypoint"][:, source.index(name)])


def test_what_the_source_lacks_is_an_error_unless_missing_is_asked():
    with pytest.raises(SkeletonError, match="'holistic_543' lacks 8 keypoints of 'karsl_184', first 'right_iris_0'"):
        SelectKeypoints(skeleton="karsl_184")(make_clip(1, "holistic_543"))


def test_going_to_the_same_skeleton_is_the_identity():
    clip = make_clip(2, missing="scattered")
    np.testing.assert_array_equal(SelectKeypoints(skeleton="karsl_184")(clip)["keypoint"], clip["keypoint"])


def test_later_steps_see_the_new_groups(clip):
    hands = SelectKeypoints(["rh", "lh"])(make_clip(2))
    with pytest.raises(SkeletonError, match="no group .'face'."):
        KeypointDropout(groups=["face"])(hands)
    with pytest.raises(SkeletonError, match="has no keypoint 'left_shoulder'"):
        CenterScale()(hands)


def test_a_mistyped_name_gets_suggestions(clip):
    with pytest.raises(SkeletonError, match="'five' has no keypoint 'left_wrst'; did you mean 'left_wrist'"):
        SelectKeypoints(["left_wrst"])(clip([[1, 2, 3, 4, 5]], FIVE))


@pytest.mark.parametrize(
    "options",
    [dict(), dict(names=["rh"], skeleton="msl_226"), dict(names=["rh"], allow_missing="missing"), dict(names=[]),
     dict(names="rh"), dict(names=[1, 2])],
)  # fmt: skip
def test_empty_or_contradictory_arguments_are_rejected(options):
    with pytest.raises(ConfigError, match="SelectKeypoints: names="):
        SelectKeypoints(**options)


def test_an_unknown_skeleton_is_rejected_when_the_transform_is_built():
    with pytest.raises(SkeletonError, match="no skeleton 'karsl_148'; did you mean 'karsl_184'"):
        SelectKeypoints(skeleton="karsl_148")
