"""SkeletonFeatures by known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karsl.datasets.transforms import SkeletonFeatures
from karsl.datasets.transforms.streams import bone, bone_parents, motion
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton, get_skeleton

ARM = Skeleton("arm", (("pose", ("shoulder", "elbow", "wrist")),), (("shoulder", "elbow"), ("elbow", "wrist")))
CLIP = np.array([[[0, 0], [1, 0], [1, 2]], [[0, 1], [1, 1], [np.nan, np.nan]]], np.float32)


def test_the_parent_of_a_keypoint_is_the_other_end_of_its_bone():
    assert bone_parents(ARM).tolist() == [0, 0, 1]
    karsl = get_skeleton("karsl_184")
    parents = bone_parents(karsl)
    assert parents[karsl.index("right_hand_thumb_tip")] == karsl.index("right_hand_thumb_ip")
    assert parents[karsl.index("left_wrist")] == karsl.index("left_elbow")
    ends = {tuple(sorted(ends)) for ends in karsl.edges.tolist()}
    assert all(tuple(sorted((v, p))) in ends for v, p in enumerate(parents.tolist()) if v != p)


def test_bones_and_motion_of_an_arm():
    assert bone(CLIP, ARM)[0].tolist() == [[0, 0], [1, 0], [0, 2]]
    moved = motion(CLIP)
    assert moved[0].tolist() == [[0, 0]] * 3
    assert moved[1, :2].tolist() == [[0, 1], [0, 1]]
    assert np.isnan(moved[1, 2]).all()


def test_motion_of_bones_is_a_stream():
    features = SkeletonFeatures("bone_motion", flatten=False)({"keypoint": CLIP, "skeleton": ARM})["features"]
    np.testing.assert_array_equal(features.numpy(), np.nan_to_num(motion(bone(CLIP, ARM))))


def test_streams_are_concatenated_and_missing_numbers_filled():
    item = {"keypoint": CLIP, "skeleton": ARM, "label": 0}
    flat = SkeletonFeatures(["joint", "bone"], fill=-1.0)(item)
    assert flat["features"].tolist() == [[0, 0, 1, 0, 1, 2, 0, 0, 1, 0, 0, 2], [0, 1, 1, 1, -1, -1, 0, 0, 1, 0, -1, -1]]
    assert flat["label"] == 0
    by_point = SkeletonFeatures(["joint", "motion"], flatten=False)(item)["features"]
    assert by_point.shape == (2, 3, 4)
    assert by_point[1, 0].tolist() == [0, 1, 0, 1]


def test_packed_samples_have_the_same_features():
    packed = {"inputs": torch.nan_to_num(torch.from_numpy(CLIP)), "keypoint_mask": torch.from_numpy(~np.isnan(CLIP[..., 0]))}
    raw = SkeletonFeatures("bone")({"keypoint": CLIP, "skeleton": ARM})
    assert torch.equal(SkeletonFeatures("bone").bind({}, ARM)(packed)["features"], raw["features"])
    assert torch.equal(SkeletonFeatures("bone", skeleton=ARM)(packed)["features"], raw["features"])


def test_a_stream_replaces_the_keypoints_and_missing_ones_stay_missing():
    score = np.array([[1, 1, 0.5], [1, 1, 0]], np.float32)
    results = SkeletonFeatures("bone", output="keypoint")({"keypoint": CLIP, "keypoint_score": score, "skeleton": ARM})
    assert results["keypoint"][0].tolist() == [[0, 0], [1, 0], [0, 2]]
    assert np.isnan(results["keypoint"][1, 2]).all()
    assert results["keypoint_score"].tolist() == [[1, 1, 0.5], [1, 1, 0]]
    assert "features" not in results


def test_a_keypoint_that_one_of_several_streams_lacks_is_missing():
    score = np.ones((2, 3), np.float32)
    clip = CLIP[::-1].copy()  # the wrist appears in the second frame, so it has no motion there
    item = {"keypoint": clip, "keypoint_score": score, "skeleton": ARM}
    results = SkeletonFeatures(["joint", "joint_motion"], output="keypoint")(item)
    assert results["keypoint"].shape == (2, 3, 4)
    assert np.isnan(results["keypoint"][1, 2]).all()
    assert results["keypoint_score"][1].tolist() == [1, 1, 0]
    assert SkeletonFeatures(["joint", "bone"], output="keypoint").output_channels(3) == 6
    assert SkeletonFeatures(["joint", "bone"]).output_channels(3) == 3


def test_motion_has_both_names():
    features = [
        SkeletonFeatures(name)({"keypoint": CLIP, "skeleton": ARM})["features"] for name in ("motion", "joint_motion")
    ]
    assert torch.equal(*features)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SkeletonFeatures("bones"), "expected names of joint, bone, joint_motion"),
        (lambda: SkeletonFeatures(()), "expected names of joint, bone, joint_motion"),
        (lambda: SkeletonFeatures(output="inputs"), "expected 'features' or 'keypoint'"),
        (lambda: SkeletonFeatures(output="keypoint")({"inputs": CLIP}), "put it before PackKeypointInputs"),
        (lambda: SkeletonFeatures()({"label": 1}), "expected keypoint, or inputs and keypoint_mask"),
        (lambda: SkeletonFeatures("bone")({"keypoint": CLIP}), "no skeleton for clips of 3 keypoints"),
    ],
)
def test_invalid_arguments_raise(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
