"""Samplers and padding: true centers, whole frames, loops, and the reference project's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.rng import CounterRNG, sample_keys
from karsl.datasets.transforms import (
    ClipMeta,
    LegacyTSNSampleFrames,
    PackKeypointInputs,
    PadTo,
    TSNSampleFrames,
    UniformSampleFrames,
)
from karsl.datasets.transforms.sampling import segment_positions
from karsl.errors import ConfigError
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import clips, make_clip

KARSL = get_skeleton("karsl_184")


def centers(num_frames: int, clip_len: int, **options: str) -> list[float]:
    return segment_positions(np.array([num_frames]), np.full((1, clip_len), 0.5), **options)[0].tolist()


def positions_of(transform, num_frames: int, key: int = 0) -> np.ndarray:
    meta = ClipMeta(np.array([num_frames]), KARSL)
    rng = CounterRNG(sample_keys(0, key, np.array([5])), transform_id=transform.transform_id)
    return transform.get_params(meta, rng)["positions"][0]


def disk(results: dict) -> list[float | None]:
    return [None if np.isnan(i) else float(i) for i in results["frame_inds"]]


# ---- TSNSampleFrames ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_frames", "clip_len", "expected"),
    [
        (10, 5, [0.5, 2.5, 4.5, 6.5, 8.5]),  # segments of 2 frames: the center is between them
        (9, 3, [1, 4, 7]),  # segments of 3 frames: the middle one
        (6, 1, [2.5]),
        (2, 4, [0, 0.25, 0.75, 1]),  # before the first center and behind the last there is nothing to blend
        (1, 3, [0, 0, 0]),
        (3, 3, [0, 1, 2]),
    ],
)
def test_tsn_reads_the_centers_of_equal_segments(num_frames, clip_len, expected):
    assert centers(num_frames, clip_len) == expected


@pytest.mark.parametrize(
    ("num_frames", "clip_len", "expected"),
    [(10, 5, [1, 3, 5, 7, 9]), (9, 3, [1, 4, 7]), (2, 4, [0, 0, 1, 1]), (1, 3, [0, 0, 0]), (3, 3, [0, 1, 2])],
)
def test_tsn_nearest_takes_the_frame_that_contains_the_center(num_frames, clip_len, expected):
    assert centers(num_frames, clip_len, mode="nearest") == expected


def test_what_is_whole_comes_out_whole_for_every_length():
    """(i + 0.5) * (T / L) misses 355 of these by one rounding, and with it a frame or a point."""
    for num_frames in range(1, 120):
        for clip_len in range(1, 70):
            twice = (2 * np.arange(clip_len) + 1) * num_frames  # the center times 2 L, in integers
            whole = (twice - clip_len) % (2 * clip_len) == 0
            found = np.array(centers(num_frames, clip_len))
            inside = whole & (found > 0) & (found < num_frames - 1)
            assert (found[inside] == np.floor(found[inside])).all(), (num_frames, clip_len)
            nearest = np.array(centers(num_frames, clip_len, mode="nearest"))
            assert (nearest == twice // (2 * clip_len)).all(), (num_frames, clip_len)


@pytest.mark.parametrize("missing", ["none", "scattered", "other frames", "whole frames", "all"])
@pytest.mark.parametrize("mode", ["blend", "nearest"])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 50])
def test_tsn_of_t_frames_to_t_frames_is_the_identity(num_frames, mode, missing):
    clip = make_clip(num_frames, missing=missing)
    out = TSNSampleFrames(num_frames, mode=mode)(clip)
    np.testing.assert_array_equal(out["keypoint"], clip["keypoint"])
    np.testing.assert_array_equal(out["keypoint_score"], clip["keypoint_score"])
    assert out["frame_inds"].tolist() == list(range(num_frames))


def test_tsn_blends_present_points_and_keeps_missing_ones_missing(clip, xs):
    out = TSNSampleFrames(2)(clip([[0, 0, None], [4, None, None], [8, None, None], [16, 7, None]]))
    assert xs(out) == [[2, 0, None], [12, 7, None]]
    assert out["frame_inds"].tolist() == [0.5, 2.5]
    assert out["num_frames"] == 2


def test_tsn_of_a_shorter_clip_repeats_its_ends(clip, xs):
    assert xs(TSNSampleFrames(4)(clip([[0], [8]]))) == [[0], [2], [6], [8]]


def test_tsn_of_one_frame_repeats_it_also_with_jitter_and_in_every_mode(clip, xs):
    transforms = [TSNSampleFrames(3, 1.0, mode=mode) for mode in TSNSampleFrames.MODES]
    for transform in (*transforms, LegacyTSNSampleFrames(3, 1.0)):
        assert xs(transform(clip([[5, None]]))) == [[5, None]] * 3


@pytest.mark.parametrize("jitter", [0.3, 1.0])
def test_jitter_stays_inside_its_segment_and_fills_it(jitter):
    transform, num_frames, clip_len = TSNSampleFrames(5, jitter), 40, 5
    sampled = np.stack([positions_of(transform, num_frames, epoch) for epoch in range(300)]) + 0.5  # in clip time
    offset = sampled * clip_len / num_frames - np.arange(clip_len)
    assert (np.abs(offset - 0.5) <= jitter / 2).all()
    assert (offset.max(0) - offset.min(0) > 0.9 * jitter).all()


def test_jitter_with_nearest_stays_inside_its_segment():
    sampled = np.stack([positions_of(TSNSampleFrames(5, 1.0, mode="nearest"), 40, epoch) for epoch in range(300)])
    assert sampled.min(0).tolist() == [0, 8, 16, 24, 32]
    assert sampled.max(0).tolist() == [7, 15, 23, 31, 39]


def reference(x: np.ndarray, clip_len: int) -> np.ndarray:
    """The formula of the reference project's evaluation, as its issue gives it; missing points are zeros."""
    num_frames = len(x)
    ticks = np.linspace(0, num_frames, clip_len + 1)
    pos = ticks[:-1] + num_frames / clip_len / 2
    pos = np.clip(pos, 0, num_frames - 1 - 1e-6)
    low, high = np.floor(pos).astype(int), np.ceil(pos).astype(int)
    a = (pos - low)[:, None, None]
    return ((1 - a) * x[low] + a * x[high]).astype(np.float32)


@pytest.mark.parametrize("missing", ["none", "scattered", "other frames", "group", "all"])
@pytest.mark.parametrize(("num_frames", "clip_len"), [(50, 50), (30, 50), (116, 50), (15, 50), (2, 50), (48, 30), (7, 1)])
def test_legacy_tsn_gives_the_reference_projects_numbers_to_the_last_bit(num_frames, clip_len, missing):
    clip = make_clip(num_frames, missing=missing, seed=num_frames)
    xyz_score = np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1)
    out = PackKeypointInputs(with_score=True)(LegacyTSNSampleFrames(clip_len)(clip))
    np.testing.assert_array_equal(out["inputs"].numpy(), reference(xyz_score, clip_len))


def test_legacy_tsn_is_half_a_frame_late():
    assert centers(50, 50, mode="legacy")[:3] == [0.5, 1.5, 2.5]
    assert centers(50, 50, mode="legacy")[-1] == pytest.approx(49 - 1e-6)
    assert centers(1, 2, mode="legacy") == [0, 0]


def test_legacy_tsn_jitter_samples_start_plus_width_times_margin_plus_u_jitter():
    transform, rng = LegacyTSNSampleFrames(4, 0.5), CounterRNG(np.array([9], np.uint64), transform_id=3)
    u = rng.uniform("place", 4)[0]
    start, width, margin = np.linspace(0, 20, 5)[:-1], 5, 0.25
    got = transform.get_params(ClipMeta(np.array([20]), KARSL), rng)["positions"][0]
    np.testing.assert_allclose(got, np.clip(start + width * (margin + u * 0.5), 0, 19 - 1e-6), rtol=1e-12)


@given(
    st.integers(1, 200), st.integers(1, 80), st.floats(0, 1), st.sampled_from(["blend", "nearest", "legacy"]),
    st.integers(0, 1000),
)  # fmt: skip
def test_tsn_positions_never_go_back_and_stay_in_the_clip(num_frames, clip_len, jitter, mode, epoch):
    legacy = mode == "legacy"
    transform = LegacyTSNSampleFrames(clip_len, jitter) if legacy else TSNSampleFrames(clip_len, jitter, mode=mode)
    positions = positions_of(transform, num_frames, epoch)
    assert positions.shape == (clip_len,)
    assert (np.diff(positions) >= 0).all()
    assert positions[0] >= 0
    assert positions[-1] <= num_frames - 1


@given(clips("msl_226", max_frames=9), st.integers(1, 12))
def test_tsn_never_makes_a_point_that_no_frame_has(clip, clip_len):
    out = TSNSampleFrames(clip_len, 1.0)(clip)
    never = (clip["keypoint_score"] == 0).all(0)
    assert (out["keypoint_score"][:, never] == 0).all()
    assert np.isnan(out["keypoint"][:, never]).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(clip_len=0), "TSNSampleFrames: clip_len=0; expected an integer of at least 1 frame"),
        (dict(clip_len=2.5), "clip_len=2.5"),
        (dict(clip_len="50"), "clip_len='50'"),
        (dict(clip_len=5, jitter=1.5), "TSNSampleFrames: jitter=1.5 is not a probability"),
        (dict(clip_len=5, mode="cubic"), "TSNSampleFrames: mode='cubic'; expected one of"),
    ],
)
def test_tsn_rejects_what_it_cannot_do_when_it_is_built(options, text):
    with pytest.raises(ConfigError, match=text):
        TSNSampleFrames(**options)


# ---- UniformSampleFrames -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(4, [0, 1, 2, 3]), (8, [1, 3, 5, 7]), (10, [1, 3, 6, 8]), (3, [0, 1, 2, 0]), (1, [0, 0, 0, 0])],
)
def test_uniform_uses_the_middle_of_each_segment_in_tests_and_loops_short_clips(num_frames, expected):
    assert positions_of(UniformSampleFrames(4, test_mode=True), num_frames).tolist() == expected


def test_uniform_samples_one_stored_frame_of_each_segment():
    sampled = np.stack([positions_of(UniformSampleFrames(4), 20, epoch) for epoch in range(200)])
    assert (sampled == np.floor(sampled)).all()
    assert sampled.min(0).tolist() == [0, 5, 10, 15]
    assert sampled.max(0).tolist() == [4, 9, 14, 19]


def test_uniform_loops_a_short_clip_from_a_random_frame():
    sampled = {tuple(positions_of(UniformSampleFrames(4), 3, epoch)) for epoch in range(60)}
    assert sampled == {(0, 1, 2, 0), (1, 2, 0, 1), (2, 0, 1, 2)}


def test_uniform_does_not_change_frames(clip, xs):
    out = UniformSampleFrames(2, test_mode=True)(clip([[0], [None], [2], [3]]))
    assert xs(out) == [[None], [3]]
    assert out["frame_inds"].tolist() == [1, 3]


def test_uniform_rejects_a_length_below_one():
    with pytest.raises(ConfigError, match="UniformSampleFrames: clip_len=0"):
        UniformSampleFrames(0)


# ---- PadTo -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("missing", [[1, 2], [3, None], [None, None], [None, None], [None, None]]),
        ("repeat", [[1, 2], [3, None], [3, None], [3, None], [3, None]]),
        ("loop", [[1, 2], [3, None], [1, 2], [3, None], [1, 2]]),
    ],
)
@pytest.mark.parametrize("crop", PadTo.CROPS)
def test_a_short_clip_is_padded_at_its_end(clip, xs, mode, crop, expected):
    out = PadTo(5, mode=mode, crop=crop)(clip([[1, 2], [3, None]]))
    assert xs(out) == expected
    assert out["num_frames"] == 5
    assert disk(out) == [0, 1, None, None, None]


@pytest.mark.parametrize("mode", PadTo.MODES)
@pytest.mark.parametrize(("crop", "expected"), [("start", [0, 1]), ("center", [1, 2])])
def test_a_long_clip_is_cut_where_asked(clip, xs, mode, crop, expected):
    out = PadTo(2, mode=mode, crop=crop)(clip([[0], [1], [2], [3], [4]]))
    assert xs(out) == [[x] for x in expected]
    assert disk(out) == expected


@pytest.mark.parametrize("mode", PadTo.MODES)
def test_a_random_crop_starts_anywhere_that_leaves_enough(clip, mode):
    crop = PadTo(2, mode=mode, crop="random")
    starts = {tuple(disk(crop(clip([[0], [1], [2], [3]], sample_key=np.uint64(key))))) for key in range(50)}
    assert starts == {(0, 1), (1, 2), (2, 3)}


@pytest.mark.parametrize("mode", PadTo.MODES)
@pytest.mark.parametrize("crop", PadTo.CROPS)
def test_a_clip_of_the_right_length_stays(clip, xs, mode, crop):
    out = PadTo(2, mode=mode, crop=crop)(clip([[0, None], [1, 5]]))
    assert xs(out) == [[0, None], [1, 5]]
    assert disk(out) == [0, 1]


def test_padding_after_a_sampler_names_the_frames_on_disk(clip):
    sampled = TSNSampleFrames(2, mode="nearest")(clip([[0], [1], [2], [3], [4], [5]]))
    assert disk(PadTo(3)(sampled)) == [1, 4, None]


def test_sampling_after_padding_takes_what_is_there(clip, xs):
    padded = PadTo(4)(clip([[2], [4], [6]]))
    out = TSNSampleFrames(4)(padded)
    assert xs(out) == [[2], [4], [6], [None]]
    assert disk(out) == [0, 1, 2, None]


@pytest.mark.parametrize("options", [dict(mode="zero"), dict(crop="end")])
def test_pad_rejects_modes_it_does_not_know(options):
    with pytest.raises(ConfigError, match="PadTo: mode=.*crop=.*; expected"):
        PadTo(3, **options)


def test_pad_rejects_a_length_below_one():
    with pytest.raises(ConfigError, match="PadTo: clip_len=-1"):
        PadTo(-1)
