"""Deferred transforms give the same results as transforms of one clip at a time."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from karsl.datasets.batching.deferred import DeferredBatch
from karsl.datasets.batching.frames import FrameBlock
from karsl.datasets.batching.points import scratch
from karsl.datasets.batching.steps import NO_STREAMS, Streams, noise_step, smooth_step, step_table
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms import (
    CenterScale,
    FillMissing,
    FrameDropout,
    KeypointDropout,
    LegacyTSNSampleFrames,
    PadTo,
    RandomAffine,
    RandomFlip,
    RandomGaussianNoise,
    RandomResample,
    SelectKeypoints,
    SkeletonFeatures,
    SmoothKeypoints,
    TSNSampleFrames,
)
from karsl.datasets.transforms.augment import mask_points
from karsl.datasets.transforms.streams import bone_parents
from karsl.skeletons import get_skeleton
from karsl.testing.strategies import DEFERRED_TRANSFORMS, MISSING, make_clip
from tests.datasets.transforms.test_contract import FIXED, RANDOM, build

CONFIGS = [dict(type=name, **options) for table in (RANDOM, FIXED) for name in table for options in table[name]]


def canonical(clip):
    """(T, V, 4) with zeros where missing."""
    return np.concatenate([np.nan_to_num(clip["keypoint"]), clip["keypoint_score"][..., None]], -1)


def eager(step_lists, clips):
    out = []
    for clip in clips:
        for step in step_lists:
            clip = step(clip)
        out.append(clip)
    return out


def deferred(steps, clips):
    keys = np.array([c["sample_key"] for c in clips])
    batch = DeferredBatch(FrameBlock.from_clips([canonical(c) for c in clips]), clips[0]["skeleton"])
    for step in steps:
        assert step.supports_batching()
        step.defer(batch, step.get_params(batch.meta, CounterRNG(keys, transform_id=step.transform_id)))
    return batch


def assert_same(steps, clips):
    """To 1e-6 of the largest coordinate."""
    expected, batch = eager(steps, clips), deferred(steps, clips)
    points, mask = batch.write(channels=4, fill=np.nan if batch.fill_value is None else batch.fill_value)
    ends = np.concatenate([[0], np.cumsum(batch.num_frames)])
    for n, clip in enumerate(expected):
        found = points[ends[n] : ends[n + 1]]
        assert found.shape[:2] == clip["keypoint_score"].shape
        assert (mask[ends[n] : ends[n + 1]] == (clip["keypoint_score"] > 0)).all()
        size = max(1.0, float(np.nanmax(np.abs(clip["keypoint"]), initial=1.0)))
        np.testing.assert_allclose(found[..., :3], clip["keypoint"], rtol=0, atol=1e-6 * size)
        np.testing.assert_allclose(found[..., 3], clip["keypoint_score"], rtol=0, atol=1e-6)
        for key, value in batch.metadata(n).items():
            if key == "frame_inds":
                np.testing.assert_allclose(value, clip[key])
            else:
                assert clip[key] == value


def smallest_unit(steps, clip):
    """The smallest distance that CenterScale divides by, relative to the largest coordinate, at most 1.

    z is only scaled, so its quotient is exact where x and y have lost digits.
    """
    unit = 1.0
    for step in steps:
        before, clip = clip["keypoint"], step(clip)
        if isinstance(step, CenterScale):
            z, scaled, size = before[..., 2], clip["keypoint"][..., 2], np.nanmax(np.abs(before), initial=1.0)
            unit = min(unit, float((z[scaled > 0] / scaled[scaled > 0]).min(initial=1.0) / size))
    return unit


@settings(max_examples=150)
@given(
    chain=st.lists(st.sampled_from(range(len(DEFERRED_TRANSFORMS))), max_size=5),
    frames=st.lists(st.integers(1, 14), min_size=1, max_size=4),
    missing=st.lists(st.sampled_from(MISSING), min_size=4, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_any_chain_of_deferred_steps_is_the_eager_chain_to_1e_6(chain, frames, missing, seed):
    steps = [DEFERRED_TRANSFORMS[i]() for i in chain]
    drawn = enumerate(zip(frames, missing, strict=False))
    clips = [make_clip(t, "karsl_184", missing=m, seed=seed + n) for n, (t, m) in drawn]
    try:
        expected_error = None
        eager(steps, clips)
    except Exception as error:
        expected_error = type(error)
    if expected_error is not None:  # e.g. CenterScale's named points were dropped: both ways must raise
        with pytest.raises(expected_error):
            deferred(steps, clips)
        return
    # A chain of single clips rounds to float32 after each transform, and CenterScale divides this by its unit. In 26,000
    # random clips the error was at most 0.7 of the bound for units above 0.1, later once 1.03 for a unit of 0.113; for units
    # below 0.04 it could exceed it by more: points that LegacyTSNSampleFrames fades into zeros and another transform moves,
    # or two points that meet.
    assume(all(smallest_unit(steps, clip) > 0.1 for clip in clips))
    assert_same(steps, clips)


@pytest.mark.parametrize("cfg", [cfg for cfg in CONFIGS if build(cfg).supports_batching()], ids=str)
def test_every_transform_that_can_be_deferred_gives_the_same_in_a_batch(cfg):
    assert_same([build(cfg)], [make_clip(t, missing=m, seed=t) for t, m in zip((1, 2, 8, 30), MISSING, strict=False)])


@pytest.mark.parametrize("skeleton", ["karsl_184", "holistic_543", "msl_226"])
@pytest.mark.parametrize("missing", MISSING)
def test_the_training_pipeline_is_the_same_on_every_skeleton(skeleton, missing):
    steps = [TSNSampleFrames(8, 1.0), RandomFlip(0.5), RandomAffine(), CenterScale(), KeypointDropout(0.1)]
    assert_same(steps, [make_clip(t, skeleton, missing=missing, seed=t) for t in (1, 2, 8, 30, 61)])


def test_the_legacy_sampler_gives_its_numbers_in_a_batch():
    assert_same([LegacyTSNSampleFrames(50)], [make_clip(t, missing="other frames", seed=t) for t in (1, 7, 50)])


@pytest.mark.parametrize("per_group", [False, True])
def test_points_that_fade_into_zeros_are_a_unit_of_their_own_in_a_batch(per_group):
    """All positions of one clip are held at T - 1 - 1e-6, where a millionth is left of each point."""
    clip = make_clip(2, "karsl_184", missing="none", seed=4)
    gone = mask_points(clip, np.array([[False], [True]]).repeat(184, axis=1))
    clips = [{**clip, **gone, "sample_key": np.uint64(key)} for key in range(12)]
    assert_same([LegacyTSNSampleFrames(1, 1.0), CenterScale(per_group=per_group)], clips)


def test_padding_after_a_sampler_names_no_stored_frame_in_a_batch():
    assert_same([RandomResample(), PadTo(4)], [make_clip(t, seed=t) for t in (1, 2, 9)])


def test_a_step_that_blends_zeros_after_a_move_waits_for_the_move():
    steps = [RandomAffine(), LegacyTSNSampleFrames(5)]
    assert_same(steps, [make_clip(9, missing="scattered", seed=1)])


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize(
    "steps",
    [
        [TSNSampleFrames(7, 1.0), FrameDropout(0.5), KeypointDropout(0.3)],
        [LegacyTSNSampleFrames(9, 1.0), RandomFlip(1.0)],
        [FillMissing("previous"), PadTo(12)],
        [SelectKeypoints(["rh", "pose"])],
    ],
    ids=str,
)
def test_groups_turn_about_the_mean_of_the_frames_that_are_read(steps, missing):
    clips = [make_clip(t, missing=missing, seed=t) for t in (1, 4, 30)]
    assert_same([*steps, RandomAffine((-90, 90), (0.5, 2), per_group=True)], clips)


@pytest.mark.parametrize("missing", MISSING)
def test_anchors_of_other_groups_and_of_no_group_are_found_in_one_reading(missing):
    anchors = {
        "rh": {"origin": ["left_shoulder", "right_hand_wrist", "left_elbow"], "scale": ["left_shoulder", "right_shoulder"]},
        "lh": {"origin": ["left_hand_wrist"], "scale": ["left_hand_wrist", "left_hand_middle_mcp"]},
    }
    clips = [make_clip(t, "karsl_184", missing=missing, seed=t) for t in (1, 4, 30)]
    steps = [TSNSampleFrames(7, 1.0), RandomFlip(0.5), RandomAffine(per_group=True)]
    assert_same([*steps, CenterScale(per_group=True, anchors=anchors)], clips)


@pytest.mark.parametrize("window", [1, 5, 31])
@pytest.mark.parametrize("missing", MISSING)
def test_clips_are_smoothed_over_any_window_before_and_after_sampling(window, missing):
    clips = [make_clip(t, missing=missing, seed=t) for t in (1, 4, 30)]
    assert_same([SmoothKeypoints(window), TSNSampleFrames(8, 1.0), SmoothKeypoints(window)], clips)


@pytest.mark.parametrize("first", [[FillMissing("previous"), TSNSampleFrames(5)], [RandomResample()]], ids=str)
def test_clips_that_a_later_stage_reads_stay_in_memory(first):
    clips = [make_clip(t, missing="scattered", seed=t) for t in (3, 9)]
    steps = [*first, TSNSampleFrames(6), RandomResample(), RandomFlip(1.0), PadTo(5)]
    batch = deferred(steps, clips)
    others = [scratch(frames, batch.skeleton.num_keypoints, 4) for frames in (5, 8, 10, 12, 16)]
    for other in others:
        other[:] = np.nan
    points, ends = batch.write(channels=4)[0], np.cumsum([0, *batch.num_frames])
    for n, clip in enumerate(eager(steps, clips)):
        np.testing.assert_allclose(points[ends[n] : ends[n + 1], :, :3], np.nan_to_num(clip["keypoint"]), rtol=0, atol=1e-6)


def test_one_clip_is_the_same_in_any_batch():
    steps = [RandomResample(), TSNSampleFrames(6, 1.0), RandomFlip(), RandomAffine(), CenterScale(), FrameDropout()]
    clips = [make_clip(t, missing="scattered", seed=t) for t in (3, 9, 20)]
    together = deferred(steps, clips).write(channels=4)[0]
    apart = [deferred(steps, [c]).write(channels=4)[0] for c in clips]
    np.testing.assert_array_equal(together, np.concatenate(apart))


def test_a_constant_is_written_by_the_pass_itself():
    step, clips = FillMissing(value=-2.0), [make_clip(3, missing="group", seed=1)]
    batch = deferred([TSNSampleFrames(3), step], clips)
    points, mask = batch.write(channels=3, fill=batch.fill_value)
    assert (points[~mask] == -2).all()
    np.testing.assert_array_equal(points, eager([TSNSampleFrames(3), step], clips)[0]["keypoint"])


FILLED = [FillMissing("linear"), RandomFlip(1.0), RandomAffine(), CenterScale(), RandomGaussianNoise(0.01)]


@pytest.mark.parametrize(
    "after",
    [
        FILLED[1:],
        [PadTo(6), RandomAffine()],
        [TSNSampleFrames(5)],
        [FillMissing("previous"), RandomFlip(1.0)],
        [KeypointDropout(0.5), FillMissing(value=2.0)],
        [SkeletonFeatures("bone", output="keypoint"), RandomFlip(1.0)],
        [SmoothKeypoints(3), SelectKeypoints(["rh", "pose"])],
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", FillMissing.MODES)
def test_filled_points_stay_missing_and_move_with_the_others(mode, after):
    clips = [make_clip(t, missing=m, seed=t) for t, m in ((9, "scattered"), (4, "group"), (2, "whole frames"))]
    assert_same([TSNSampleFrames(6), FillMissing(mode, value=0.25), *after], clips)


@pytest.mark.parametrize("seed", range(4))
def test_a_filled_group_turns_about_the_center_and_not_about_another_group(seed):
    clip = make_clip(3, "karsl_184", missing="group", seed=seed)
    assert_same([FillMissing(value=0.25), RandomAffine((-90, 90), per_group=True)], [clip])


@pytest.mark.parametrize("first", [[], [RandomResample()]], ids=["one_stage", "two_stages"])
def test_steps_give_the_same_bits_for_any_number_of_threads(monkeypatch, first):
    steps = [*first, TSNSampleFrames(6), SmoothKeypoints(3), *FILLED, SkeletonFeatures("bone_motion", output="keypoint")]
    clips = [make_clip(t, missing="scattered", seed=t) for t in (3, 9, 20)]
    usual = deferred(steps, clips).write(channels=4)[0]
    monkeypatch.setattr("karsl.datasets.batching.kernel._BYTES_PER_THREAD", 1)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    np.testing.assert_array_equal(deferred(steps, clips).write(channels=4)[0], usual)


def test_one_compilation_serves_all_steps():
    skeleton = get_skeleton("karsl_184")
    tables = [step_table(steps, 2, 184) for steps in ([], [smooth_step(2)], [noise_step(np.zeros(2, np.uint64), 0.5)])]
    assert len({numba.typeof(table) for table in tables}) == 1
    streams = Streams.from_names(("joint", "bone"), bone_parents(skeleton))
    assert numba.typeof(streams) == numba.typeof(NO_STREAMS)


def test_the_noise_of_a_batch_is_that_of_one_clip_to_the_bit():
    clips = [make_clip(t, missing="scattered", seed=t) for t in (3, 9)]
    expected = eager([RandomGaussianNoise(0.5)], clips)
    for channels in (3, 4):
        found = deferred([RandomGaussianNoise(0.5)], clips).write(channels=channels, fill=np.nan)[0][..., :3]
        np.testing.assert_array_equal(found, np.concatenate([clip["keypoint"] for clip in expected]))


def test_a_subclass_that_changes_apply_alone_is_not_deferred():
    class Own(RandomFlip):
        def apply(self, results, params):
            return {}

    class Both(Own):
        def defer(self, batch, params):
            pass

    class Random(RandomFlip):
        def get_params(self, meta, rng):
            return {"flip": np.ones(len(rng), bool)}

    assert (Own().supports_batching(), Both().supports_batching(), Random().supports_batching()) == (False, True, True)


def test_skeleton_table_serves_both_ways():
    assert get_skeleton("karsl_184").group_slices.tolist() == [[0, 6], [6, 142], [142, 163], [163, 184]]
    assert np.bincount(get_skeleton("karsl_184").group_of).tolist() == [6, 136, 21, 21]
