"""Points, groups and frames taken away; noise on the ones that are there."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.datasets.transforms import FrameDropout, KeypointDropout, RandomGaussianNoise
from karsl.errors import ConfigError, SkeletonError
from karsl.skeletons import Skeleton
from karsl.testing.strategies import make_clip

TWO = Skeleton("two", (("a", ("a0", "a1")), ("b", ("b0",))))


# ---- KeypointDropout ---------------------------------------------------------------------------------------------------


def test_a_hidden_keypoint_is_missing_in_every_frame(clip, xs):
    out = KeypointDropout().apply(clip([[1, 2, 3], [4, 5, None]], TWO), {"hidden": np.array([False, True, False])})
    assert xs(out) == [[1, None, 3], [4, None, None]]


@pytest.mark.parametrize("level", ["keypoint", "group"])
@pytest.mark.parametrize(
    ("prob", "groups", "expected"),
    [
        (0, None, [[1, 2, 3]]),
        (1, None, [[None, None, None]]),
        (1, ["b"], [[1, 2, None]]),
        (1, ["a", "b"], [[None, None, None]]),
        (1, [], [[1, 2, 3]]),
    ],
)
def test_probabilities_0_and_1_are_never_and_always(clip, xs, level, prob, groups, expected):
    assert xs(KeypointDropout(prob, level=level, groups=groups)(clip([[1, 2, 3]], TWO))) == expected


def test_a_group_goes_as_a_whole(clip, xs):
    drop = KeypointDropout(0.5, level="group")
    seen = {tuple(xs(drop(clip([[1, 2, 3]], TWO, sample_key=np.uint64(key))))[0]) for key in range(60)}
    assert seen == {(1, 2, 3), (None, None, 3), (1, 2, None), (None, None, None)}


def test_keypoints_go_one_by_one_as_often_as_asked():
    clip = make_clip(1)
    hidden = [KeypointDropout(0.2)({**clip, "sample_key": np.uint64(k)})["keypoint_score"] == 0 for k in range(50)]
    assert 0.17 < np.mean(hidden) < 0.23
    assert (np.mean(hidden, 0) < 0.6).all()


def test_dropout_names_a_group_that_the_skeleton_lacks(clip):
    with pytest.raises(SkeletonError, match=r"KeypointDropout: no group \['face'\] in 'two': \['a', 'b'\]"):
        KeypointDropout(groups=["face"])(clip([[1, 2, 3]], TWO))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(prob=2), "prob=2 is not a probability"),
        (dict(level="hand"), "level='hand'; expected 'keypoint' or 'group'"),
        (dict(groups="rh"), r"groups='rh'; expected a list, e.g. \['rh'\]"),
    ],
)
def test_dropout_rejects_what_it_cannot_do(options, text):
    with pytest.raises(ConfigError, match=f"KeypointDropout: {text}"):
        KeypointDropout(**options)


# ---- FrameDropout ------------------------------------------------------------------------------------------------------


def test_a_hidden_frame_loses_every_point(clip, xs):
    out = FrameDropout().apply(clip([[1, 2], [3, None], [5, 6]]), {"hidden": np.array([False, True, False])})
    assert xs(out) == [[1, 2], [None, None], [5, 6]]


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_one_frame_stays_even_if_all_should_go(num_frames):
    for key in range(20):
        out = FrameDropout(1.0)({**make_clip(num_frames), "sample_key": np.uint64(key)})
        assert (out["keypoint_score"] > 0).any(1).sum() == 1


def test_the_frame_that_stays_is_random(clip):
    stays = {int(FrameDropout(1.0)(clip([[1]] * 3, sample_key=np.uint64(k)))["keypoint_score"].argmax()) for k in range(40)}
    assert stays == {0, 1, 2}


def test_frames_go_as_often_as_asked_and_never_with_probability_0(clip, xs):
    hidden = [FrameDropout(0.3)(clip([[1]] * 50, sample_key=np.uint64(k)))["keypoint_score"] == 0 for k in range(60)]
    assert 0.25 < np.mean(hidden) < 0.35
    assert xs(FrameDropout(0.0)(clip([[1], [2]]))) == [[1], [2]]


# ---- RandomGaussianNoise -----------------------------------------------------------------------------------------------


def test_jitter_has_the_asked_spread_in_every_coordinate_and_no_drift():
    clip = make_clip(60)
    noise = (RandomGaussianNoise(0.5)(clip)["keypoint"] - clip["keypoint"]).astype(np.float64)
    assert np.abs(noise.mean((0, 1))).max() < 0.02
    np.testing.assert_allclose(noise.std((0, 1)), 0.5, rtol=0.03)
    neighbours = noise[:, 1:, 0] * noise[:, :-1, 0]
    assert abs(neighbours.mean()) < 0.02  # noise of neighboring points is independent


def test_jitter_leaves_missing_points_missing():
    clip = make_clip(4, missing="scattered")
    out = RandomGaussianNoise(0.5)(clip)
    np.testing.assert_array_equal(np.isnan(out["keypoint"]), np.isnan(clip["keypoint"]))


def test_jitter_of_sigma_0_is_the_identity():
    clip = make_clip(4)
    np.testing.assert_array_equal(RandomGaussianNoise(0.0)(clip)["keypoint"], clip["keypoint"])


@pytest.mark.parametrize("sigma", [-1, float("nan"), "0.1"])
def test_jitter_rejects_a_sigma_that_is_none(sigma):
    with pytest.raises(ConfigError, match=f"RandomGaussianNoise: sigma={sigma!r}; expected a finite number of at least 0"):
        RandomGaussianNoise(sigma)
