"""Interpolation between frames: no point is invented; change of speed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.transforms import PadTo, RandomResample, ResampleFPS
from karsl.datasets.transforms.resample import interpolate_frames, source_positions
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton
from karsl.testing.strategies import clips

PAIR = Skeleton("pair", (("a", ("left_p", "right_p")), ("b", ("mid",))))


def read(rows, positions, score=None, **options):
    points = np.array(rows, np.float32)[..., None]
    seen = (~np.isnan(points[..., 0])).astype(np.float32) if score is None else np.array(score, np.float32)
    keypoint, score = interpolate_frames(points, seen, np.array(positions, np.float64), **options)
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
def test_blending_takes_what_is_there_and_never_makes_a_point(clip, fractions):
    keypoint, score = clip["keypoint"], clip["keypoint_score"]
    positions = np.array(fractions) * (len(keypoint) - 1)
    out, out_score = interpolate_frames(keypoint, score, positions)
    first = np.floor(positions).astype(int)
    second = np.ceil(positions).astype(int)
    has_first, has_second = score[first] > 0, score[second] > 0
    assert ((out_score > 0) == (has_first | has_second)).all()
    assert (np.isnan(out).all(-1) == (out_score == 0)).all()
    assert (np.isnan(out).any(-1) == (out_score == 0)).all()
    ends = np.stack([keypoint[first], keypoint[second]])
    low, high = np.fmin(*ends) - 1e-6, np.fmax(*ends) + 1e-6  # fmin ignores NaN
    there = out_score > 0
    assert (out[there] >= low[there]).all()
    assert (out[there] <= high[there]).all()
    alone = has_first & ~has_second
    assert (out[alone] == keypoint[first][alone]).all()
    alone = has_second & ~has_first
    assert (out[alone] == keypoint[second][alone]).all()
    assert out.dtype == out_score.dtype == np.float32


def test_positions_go_through_earlier_temporal_steps_to_the_clip_on_disk():
    assert source_positions({}, np.array([0.5])).tolist() == [0.5]
    assert source_positions({"frame_inds": np.array([10.0, 20.0, 40.0])}, np.array([0.5, 1.5, 2.0])).tolist() == [15, 30, 40]


def test_an_integer_position_next_to_padding_keeps_its_stored_position():
    earlier = {"frame_inds": np.array([3.0, 4.0, np.nan])}
    assert source_positions(earlier, np.array([0.0, 1.0])).tolist() == [3, 4]


def disk(results: dict) -> list[float | None]:
    return [None if np.isnan(i) else float(i) for i in results["frame_inds"]]


# ---- RandomResample ----------------------------------------------------------------------------------------------------


def test_double_speed_halves_the_frames(clip, xs):
    out = RandomResample((2, 2))(clip([[0], [2], [4], [6]]))
    assert xs(out) == [[1], [5]]
    assert out["num_frames"] == 2
    assert disk(out) == [0.5, 2.5]


def test_half_speed_doubles_the_frames(clip, xs):
    assert xs(RandomResample((0.5, 0.5))(clip([[0], [8]]))) == [[0], [2], [6], [8]]


def test_speed_one_is_the_identity_also_for_missing_points(clip, xs):
    assert xs(RandomResample((1, 1))(clip([[0, None], [None, 3], [7, None]]))) == [[0, None], [None, 3], [7, None]]


def test_at_least_one_frame_stays(clip, xs):
    assert xs(RandomResample((50, 50))(clip([[4]]))) == [[4]]
    assert xs(RandomResample((50, 50))(clip([[4], [8]]))) == [[6]]


@pytest.mark.parametrize(("speed", "length"), [(1.3, 4), (1.5, 3), (0.9, 6)])
def test_the_length_is_rounded(clip, speed, length):
    assert RandomResample((speed, speed))(clip([[0]] * 5))["num_frames"] == length  # 3.85, 3.33, 5.56


def test_speeds_are_random_between_the_limits_and_slow_is_as_likely_as_fast(clip):
    rows = [[0]] * 100
    lengths = [RandomResample((0.5, 2))(clip(rows, sample_key=np.uint64(key)))["num_frames"] for key in range(400)]
    assert 50 <= min(lengths) < 60
    assert 180 < max(lengths) <= 200
    assert 0.4 < np.mean(np.array(lengths) > 100) < 0.6


@pytest.mark.parametrize("speed", [(0, 1), (2, 1), (1,), 1.5, ("a", "b"), (float("nan"), 1)])
def test_speed_rejects_what_is_not_an_ascending_pair_of_positive_numbers(speed):
    with pytest.raises(ConfigError, match=r"RandomResample: speed=.*expected two ascending numbers of at least 0.001"):
        RandomResample(speed)


@given(clips("msl_226", max_frames=8))
def test_speed_and_padding_keep_what_is_missing_apart(clip):
    for step in (RandomResample((0.5, 2)), PadTo(5, crop="random"), PadTo(5, mode="loop")):
        out = step(clip)
        assert (np.isnan(out["keypoint"]).all(-1) == (out["keypoint_score"] == 0)).all()
        assert len(out["frame_inds"]) == out["num_frames"] == len(out["keypoint"])


# ---- ResampleFPS -------------------------------------------------------------------------------------------------------


def test_half_the_rate_takes_the_middle_of_two_frames(clip, xs):
    out = ResampleFPS(15)(clip([[0], [1], [2], [3]], fps=30))
    assert xs(out) == [[0.5], [2.5]]
    assert (out["num_frames"], out["fps"], out["frame_inds"].tolist()) == (2, 15, [0.5, 2.5])


def test_twice_the_rate_interpolates_and_holds_the_ends(clip, xs):
    assert xs(ResampleFPS(50)(clip([[0], [4]], fps=25))) == [[0], [1], [3], [4]]


def test_the_rate_of_the_record_itself_changes_nothing(clip, xs):
    assert xs(ResampleFPS(25)(clip([[1], [None], [7]], fps=25))) == [[1], [None], [7]]


def test_the_new_rate_counts_for_a_second_change(clip, xs):
    out = ResampleFPS(10)(ResampleFPS(20)(clip([[0], [1], [2], [3]], fps=10)))
    assert len(xs(out)) == 4


def test_source_fps_serves_records_without_a_rate_only(clip):
    step = ResampleFPS(10, source_fps=20)
    assert step(clip([[0]] * 8))["num_frames"] == 4
    assert step(clip([[0]] * 8, fps=10))["num_frames"] == 8


@pytest.mark.parametrize(("fps", "text"), [({}, "has no 'fps'"), ({"fps": 0}, "has fps=0"), ({"fps": -5.0}, "has fps=-5")])
def test_a_record_without_a_rate_is_an_error_that_names_the_remedy(clip, fps, text):
    with pytest.raises(ConfigError, match=f"ResampleFPS: a record {text}; .* or give source_fps"):
        ResampleFPS(25)(clip([[0]], **fps))


@pytest.mark.parametrize("options", [dict(fps=0), dict(fps="25"), dict(fps=25, source_fps=-1)])
def test_a_rate_that_is_none_is_rejected(options):
    with pytest.raises(ConfigError, match="ResampleFPS: "):
        ResampleFPS(**options)
