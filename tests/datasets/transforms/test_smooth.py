"""SmoothKeypoints by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.datasets.transforms import SmoothKeypoints
from karsl.errors import ConfigError
from karsl.testing.strategies import make_clip


def test_a_point_becomes_the_mean_of_three_frames_and_of_two_at_the_ends(clip, xs):
    assert xs(SmoothKeypoints(3)(clip([[0], [3], [6], [0]]))) == [[1.5], [3], [3], [3]]


def test_missing_frames_do_not_count_and_stay_missing(clip, xs):
    assert xs(SmoothKeypoints(3)(clip([[2], [None], [4], [6]]))) == [[2], [None], [5], [5]]


def test_every_coordinate_and_point_is_smoothed_alone(clip):
    out = SmoothKeypoints(3)(clip([[(0, 3, 6), 1], [(3, 6, 9), None]]))["keypoint"]
    assert out[0].tolist() == [[1.5, 4.5, 7.5], [1, 0, 0]]


def test_a_window_of_one_frame_or_a_point_that_rests_changes_nothing(clip, xs):
    assert xs(SmoothKeypoints(1)(clip([[1], [5]]))) == [[1], [5]]
    assert xs(SmoothKeypoints(9)(clip([[5], [5]]))) == [[5], [5]]


def test_scores_are_not_smoothed():
    results = make_clip(6, missing="scattered")
    np.testing.assert_array_equal(SmoothKeypoints()(results)["keypoint_score"], results["keypoint_score"])


@pytest.mark.parametrize("window", [0, 4, -3, 2.5])
def test_a_window_that_is_not_odd_is_rejected(window):
    with pytest.raises(ConfigError, match="SmoothKeypoints"):
        SmoothKeypoints(window)
