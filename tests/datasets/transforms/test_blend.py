"""Reading between frames: what is there is taken, what is not is not invented."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.transforms.blend import blend_frames, disk_positions
from karsl.skeletons import Skeleton
from karsl.testing.strategies import clips

PAIR = Skeleton("pair", (("a", ("left_p", "right_p")), ("b", ("mid",))))


def read(rows, positions, score=None, **options):
    points = np.array(rows, np.float32)[..., None]
    seen = (~np.isnan(points[..., 0])).astype(np.float32) if score is None else np.array(score, np.float32)
    keypoint, score = blend_frames(points, seen, np.array(positions, np.float64), **options)
    return [None if np.isnan(x) else float(x) for x in keypoint[:, 0, 0]], score[:, 0].tolist()


def test_a_position_between_two_frames_mixes_them_by_its_distance():
    assert read([[4], [8]], [0.25, 0.5]) == ([5, 6], [1, 1])


def test_a_whole_position_takes_exactly_its_frame():
    assert read([[4], [np.nan], [8]], [0, 1, 2]) == ([4, None, 8], [1, 0, 1])


def test_where_one_frame_lacks_a_point_the_other_is_taken_whole():
    assert read([[4], [np.nan], [8]], [0.75, 1.25]) == ([4, 8], [1, 1])


def test_where_both_frames_lack_a_point_it_stays_missing():
    assert read([[np.nan], [np.nan]], [0.5]) == ([None], [0])


def test_the_score_is_mixed_too_and_taken_whole_from_the_frame_that_is_there():
    assert read([[4], [8], [np.nan]], [0.5, 1.5], score=[[1.0], [0.5], [0.0]])[1] == [0.75, 0.5]


def test_one_frame_serves_every_position():
    assert read([[4]], [0, 0, 0]) == ([4, 4, 4], [1, 1, 1])


def test_missing_is_zero_mixes_a_missing_point_as_zero_and_leaves_missing_what_both_lack():
    assert read([[4], [np.nan], [np.nan]], [0.75, 1.5], missing_is_zero=True) == ([1, None], [0.25, 0])


@pytest.mark.parametrize("scores", [(1.0, 1e-30), (1e-30, 1.0)])
def test_a_weight_that_rounds_to_one_does_not_lose_a_point_of_tiny_score(scores):
    x, score = read([[4], [8]], [1 - 1e-12], score=[[scores[0]], [scores[1]]])
    assert x == [8]
    assert score == [np.float32(scores[1])]


@given(clips(PAIR, max_frames=6), st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_blending_takes_what_is_there_and_never_makes_a_point(clip, places):
    keypoint, score = clip["keypoint"], clip["keypoint_score"]
    positions = np.array(places) * (len(keypoint) - 1)
    out, out_score = blend_frames(keypoint, score, positions)
    first = np.floor(positions).astype(int)
    second = np.ceil(positions).astype(int)
    has_first, has_second = score[first] > 0, score[second] > 0
    assert ((out_score > 0) == (has_first | has_second)).all()
    assert (np.isnan(out).all(-1) == (out_score == 0)).all()
    assert (np.isnan(out).any(-1) == (out_score == 0)).all()
    ends = np.stack([keypoint[first], keypoint[second]])
    low, high = np.fmin(*ends) - 1e-6, np.fmax(*ends) + 1e-6  # fmin ignores a NaN beside a number
    there = out_score > 0
    assert (out[there] >= low[there]).all()
    assert (out[there] <= high[there]).all()
    alone = has_first & ~has_second
    assert (out[alone] == keypoint[first][alone]).all()
    alone = has_second & ~has_first
    assert (out[alone] == keypoint[second][alone]).all()
    assert out.dtype == out_score.dtype == np.float32


def test_positions_go_through_earlier_temporal_steps_to_the_clip_on_disk():
    assert disk_positions({}, np.array([0.5])).tolist() == [0.5]
    assert disk_positions({"frame_inds": np.array([10.0, 20.0, 40.0])}, np.array([0.5, 1.5, 2.0])).tolist() == [15, 30, 40]


def test_a_whole_position_beside_padding_keeps_its_place_on_disk():
    earlier = {"frame_inds": np.array([3.0, 4.0, np.nan])}
    assert disk_positions(earlier, np.array([0.0, 1.0])).tolist() == [3, 4]
