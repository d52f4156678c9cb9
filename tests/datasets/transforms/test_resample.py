"""Padding, cropping and playing speed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from karsl.datasets.transforms import PadFrames, RandomSpeed, TSNSampleFrames
from karsl.errors import ConfigError
from karsl.testing.strategies import clips


def disk(results: dict) -> list[float | None]:
    return [None if np.isnan(i) else float(i) for i in results["frame_inds"]]


# ---- PadFrames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("missing", [[1, 2], [3, None], [None, None], [None, None], [None, None]]),
        ("repeat", [[1, 2], [3, None], [3, None], [3, None], [3, None]]),
        ("loop", [[1, 2], [3, None], [1, 2], [3, None], [1, 2]]),
    ],
)
@pytest.mark.parametrize("crop", PadFrames.CROPS)
def test_a_short_clip_is_padded_at_its_end(clip, xs, mode, crop, expected):
    out = PadFrames(5, mode=mode, crop=crop)(clip([[1, 2], [3, None]]))
    assert xs(out) == expected
    assert out["num_frames"] == 5
    assert disk(out) == [0, 1, None, None, None]


@pytest.mark.parametrize("mode", PadFrames.MODES)
@pytest.mark.parametrize(("crop", "expected"), [("start", [0, 1]), ("centre", [1, 2])])
def test_a_long_clip_is_cut_where_asked(clip, xs, mode, crop, expected):
    out = PadFrames(2, mode=mode, crop=crop)(clip([[0], [1], [2], [3], [4]]))
    assert xs(out) == [[x] for x in expected]
    assert disk(out) == expected


@pytest.mark.parametrize("mode", PadFrames.MODES)
def test_a_random_crop_starts_anywhere_that_leaves_enough(clip, mode):
    crop = PadFrames(2, mode=mode, crop="random")
    starts = {tuple(disk(crop(clip([[0], [1], [2], [3]], sample_key=np.uint64(key))))) for key in range(50)}
    assert starts == {(0, 1), (1, 2), (2, 3)}


@pytest.mark.parametrize("mode", PadFrames.MODES)
@pytest.mark.parametrize("crop", PadFrames.CROPS)
def test_a_clip_of_the_right_length_stays(clip, xs, mode, crop):
    out = PadFrames(2, mode=mode, crop=crop)(clip([[0, None], [1, 5]]))
    assert xs(out) == [[0, None], [1, 5]]
    assert disk(out) == [0, 1]


def test_padding_after_a_sampler_names_the_frames_on_disk(clip):
    sampled = TSNSampleFrames(2, mode="nearest")(clip([[0], [1], [2], [3], [4], [5]]))
    assert disk(PadFrames(3)(sampled)) == [1, 4, None]


def test_sampling_after_padding_takes_what_is_there(clip, xs):
    padded = PadFrames(4)(clip([[2], [4], [6]]))
    out = TSNSampleFrames(4)(padded)
    assert xs(out) == [[2], [4], [6], [None]]
    assert disk(out) == [0, 1, 2, None]


@pytest.mark.parametrize("options", [dict(mode="zero"), dict(crop="end")])
def test_pad_refuses_modes_it_does_not_know(options):
    with pytest.raises(ConfigError, match="PadFrames: mode=.*crop=.*; expected"):
        PadFrames(3, **options)


def test_pad_refuses_a_length_below_one():
    with pytest.raises(ConfigError, match="PadFrames: clip_len=-1"):
        PadFrames(-1)


# ---- RandomSpeed -------------------------------------------------------------------------------------------------------


def test_double_speed_halves_the_frames(clip, xs):
    out = RandomSpeed((2, 2))(clip([[0], [2], [4], [6]]))
    assert xs(out) == [[1], [5]]
    assert out["num_frames"] == 2
    assert disk(out) == [0.5, 2.5]


def test_half_speed_doubles_the_frames(clip, xs):
    assert xs(RandomSpeed((0.5, 0.5))(clip([[0], [8]]))) == [[0], [2], [6], [8]]


def test_speed_one_is_the_identity_also_for_missing_points(clip, xs):
    assert xs(RandomSpeed((1, 1))(clip([[0, None], [None, 3], [7, None]]))) == [[0, None], [None, 3], [7, None]]


def test_at_least_one_frame_stays(clip, xs):
    assert xs(RandomSpeed((50, 50))(clip([[4]]))) == [[4]]
    assert xs(RandomSpeed((50, 50))(clip([[4], [8]]))) == [[6]]


@pytest.mark.parametrize(("speed", "length"), [(1.3, 4), (1.5, 3), (0.9, 6)])
def test_the_length_is_rounded(clip, speed, length):
    assert RandomSpeed((speed, speed))(clip([[0]] * 5))["num_frames"] == length  # 3.85, 3.33, 5.56


def test_speeds_are_drawn_between_the_limits_and_slow_is_as_likely_as_fast(clip):
    rows = [[0]] * 100
    lengths = [RandomSpeed((0.5, 2))(clip(rows, sample_key=np.uint64(key)))["num_frames"] for key in range(400)]
    assert 50 <= min(lengths) < 60
    assert 180 < max(lengths) <= 200
    assert 0.4 < np.mean(np.array(lengths) > 100) < 0.6


@pytest.mark.parametrize("speed", [(0, 1), (2, 1), (1,), 1.5, ("a", "b"), (float("nan"), 1)])
def test_speed_refuses_what_is_not_an_ascending_pair_of_positive_numbers(speed):
    with pytest.raises(ConfigError, match=r"RandomSpeed: speed=.*expected two ascending numbers of at least 0.001"):
        RandomSpeed(speed)


@given(clips("msl_226", max_frames=8))
def test_speed_and_padding_keep_what_is_missing_apart(clip):
    for step in (RandomSpeed((0.5, 2)), PadFrames(5, crop="random"), PadFrames(5, mode="loop")):
        out = step(clip)
        assert (np.isnan(out["keypoint"]).all(-1) == (out["keypoint_score"] == 0)).all()
        assert len(out["frame_inds"]) == out["num_frames"] == len(out["keypoint"])
