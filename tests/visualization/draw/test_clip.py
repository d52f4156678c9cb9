"""ClipPlot: what is read from a results dict."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.errors import SkeletonError
from karsl.skeletons import Skeleton
from karsl.visualization.draw.clip import ClipPlot, hands_detached, visible_points

PAIR = Skeleton("pair", (("pose", ("left_wrist", "right_wrist")),), (("left_wrist", "right_wrist"),))


def view(num_frames: int, **more) -> ClipPlot:
    return ClipPlot.from_results({"keypoint": np.zeros((num_frames, 2, 3)), "skeleton": PAIR, **more})


def test_a_point_is_missing_by_its_score_by_nan_and_by_infinity():
    keypoint = np.array([[[1.0, 2.0], [3.0, 4.0]], [[np.nan, 2.0], [3.0, np.inf]]])
    points = visible_points(keypoint, np.array([[1.0, 0.0], [1.0, 1.0]]), PAIR)
    np.testing.assert_array_equal(points, [[[1, 2], [np.nan] * 2], [[np.nan] * 2, [np.nan] * 2]])


def test_results_are_not_edited(results):
    before = results["keypoint"].copy()
    ClipPlot.from_results(results)
    np.testing.assert_array_equal(results["keypoint"], before)


def test_titles_have_known_values_only(results, metainfo):
    full = ClipPlot.from_results(results, metainfo=metainfo)
    assert (full.title, full.arabic) == ("0002 · thanks", "شكرا")
    assert full.subtitle == f"signer 01 · train · {full.num_frames} frames"
    bare = view(1)
    assert (bare.title, bare.subtitle, bare.clip_id, bare.arabic) == ("", "1 frame", "", "")
    assert view(3, label=7).title == "label 7"


def test_class_named_by_its_number_is_shown_once():
    assert view(1, label=0, sign=12).title == "0012"
    clip = ClipPlot.from_results(
        {"keypoint": np.zeros((1, 2, 3)), "label": 0, "sign": 12}, PAIR, metainfo={"classes": ["0012"]}
    )
    assert clip.title == "0012"


def test_shown_frames_are_centers_of_segments():
    assert view(12).shown_frames(12).tolist() == list(range(12))
    assert view(40).shown_frames(4).tolist() == [5, 15, 25, 35]
    assert view(3).shown_frames(12).tolist() == [0, 1, 2]
    assert view(1).shown_frames(12).tolist() == [0]


def test_the_best_frame_is_near_the_middle_and_full():
    keypoint = np.zeros((9, 2, 3))
    keypoint[[3, 4, 6], 1] = np.nan
    assert ClipPlot.from_results({"keypoint": keypoint, "skeleton": PAIR}).best_frame() == 5
    assert view(9).best_frame() == 4
    assert view(1).best_frame() == 0


def test_sampled_clips_are_not_unsampled():
    assert view(4).is_unsampled
    assert not view(4, frame_inds=np.arange(4.0), total_frames=9).is_unsampled


def is_detached(clip: ClipPlot) -> bool:
    return hands_detached(clip.points, clip.skeleton)


def test_hands_are_detached_if_each_group_has_its_own_origin(results):
    assert not is_detached(ClipPlot.from_results(results))
    rh, skeleton = results["skeleton"].groups["rh"], results["skeleton"]
    apart = results["keypoint"].copy()
    apart[:, rh] -= apart[:, rh][:, :1]
    apart[:, skeleton.groups["lh"]] -= apart[:, skeleton.groups["lh"]][:, :1]
    assert is_detached(ClipPlot.from_results({**results, "keypoint": apart}))


def test_wrong_flip_does_not_detach_hands(results):
    skeleton, wrong = results["skeleton"], results["keypoint"].copy()
    rh, lh = skeleton.groups["rh"], skeleton.groups["lh"]
    wrong[:, rh], wrong[:, lh] = results["keypoint"][:, lh], results["keypoint"][:, rh]
    assert not is_detached(ClipPlot.from_results({**results, "keypoint": wrong, "keypoint_score": None}))


@pytest.mark.parametrize("shape", [(4, 3, 3), (0, 2, 3), (2, 3), (4, 2, 1)])
def test_arrays_that_do_not_match_the_skeleton_are_rejected(shape):
    with pytest.raises(SkeletonError, match=r"skeleton 'pair' needs \(T, 2, C\)"):
        ClipPlot.from_results({"keypoint": np.zeros(shape), "skeleton": PAIR})


def test_scores_that_do_not_match_are_rejected():
    with pytest.raises(SkeletonError, match=r"keypoint_score has shape \(1, 2\); expected \(4, 2\)"):
        view(4, keypoint_score=np.ones((1, 2)))


def test_packed_results_are_rejected_with_a_remedy():
    with pytest.raises(KeyError, match="draw after LoadKeypoints, before packing"):
        ClipPlot.from_results({"inputs": 0, "skeleton": PAIR})
