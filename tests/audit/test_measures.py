"""Figures of small clips have known values, and do not depend on the clips that are measured with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.audit.landmarks import Landmarks
from karsl.audit.measures import FIGURES, Measurer, measure_clips
from karsl.skeletons import Skeleton, get_skeleton

NAMES = ("left_shoulder", "right_shoulder", "left_wrist", "right_wrist", "right_hand_wrist", "left_hand_wrist", "nose")
BODY = Landmarks(Skeleton("body", (("pose", NAMES),)))


def body(**moved: tuple[float, float]) -> np.ndarray:
    """One frame: shoulders at x = 3 and 1, wrists below them, hands at the wrists, the nose above."""
    places = dict(zip(NAMES, [(3, 4), (1, 4), (3, 6), (1, 6), (1, 6), (3, 6), (2, 3)], strict=True)) | moved
    return np.array([[[*places[name], 0, 1] for name in NAMES]], np.float32)


def test_a_small_body_has_the_figures_written_here():
    clip = np.concatenate([body(), body(), body(right_hand_wrist=(3, 6)), 0 * body()])
    (row,) = measure_clips([clip], BODY)
    assert (row["num_frames"], row["largest"], row["scale"]) == (4, 6, 2)
    assert row["center"].tolist() == [2, 4]
    assert (row["shoulders"].tolist(), row["head"]) == ([1, 0], 0.5)
    assert (row["own"].tolist(), row["judged"].tolist(), row["seen"].tolist()) == ([2, 3], [3, 3], [0.75, 0.75])
    assert row["empty"] == 0.25
    assert row["equal"] == pytest.approx(1 / 3)


def test_a_measurer_finds_the_figures_of_clips_by_their_keys():
    clips = [body(nose=(2, place)) for place in range(70)]  # more than are measured at once
    measurer = Measurer(BODY.skeleton)
    for number, clip in enumerate(clips):
        measurer.add(number // 2, clip)
    found = measurer.figures([34, 0, "absent", 1])
    expected = measure_clips([clips[68], clips[0], clips[2]], BODY)
    assert found[[0, 1, 3]].tobytes() == expected.tobytes(), "of two clips with a key, those of the first"
    assert found["num_frames"].tolist() == [1, 1, 0, 1]
    assert len(Measurer(BODY.skeleton).figures([])) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_largest_value_is_found_with_either_sign(dtype):
    clips = [body().astype(dtype) for _ in range(3)]
    clips[1][0, 3, 1], clips[2][0, 5, 0] = -300, np.nan
    assert measure_clips(clips, BODY)["largest"][:2].tolist() == [6, 300]
    assert np.isnan(measure_clips(clips, BODY)["largest"][2])


@given(st.integers(0, 1000), st.sampled_from(["karsl_184", "hand_42", "coco_17", "mp_75"]))
@settings(max_examples=15)
def test_clips_are_measured_independently(seed, name):
    rng, marks = np.random.default_rng(seed), Landmarks(get_skeleton(name))
    clips = [rng.random((rng.integers(1, 20), marks.skeleton.num_keypoints, 4), np.float32) for _ in range(4)]
    for clip in clips:
        clip[rng.random(clip.shape[:2]) < 0.3] = 0
    together = measure_clips(clips, marks)
    alone = np.concatenate([measure_clips([clip], marks) for clip in clips])
    for field in FIGURES.names:
        np.testing.assert_allclose(together[field], alone[field], rtol=1e-3, atol=1e-4, err_msg=field)
