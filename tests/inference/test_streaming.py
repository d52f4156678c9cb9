"""Sliding windows: when decisions are made, how scores are smoothed, what is recognized."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.errors import ConfigError, SkeletonError
from karsl.inference import ModelDescription, Recognizer, StreamingRecognizer
from karsl.skeletons import get_skeleton

STEPS = [{"type": "LoadKeypoints"}, {"type": "PackKeypointInputs"}]


def mean_x(batch: dict) -> np.ndarray:
    """Two classes; the score of the second is the mean x of the clip."""
    share = batch["inputs"][..., 0].mean((1, 2)).numpy()
    return np.stack([1 - share, share], axis=1).astype(np.float32)


@pytest.fixture
def recognizer() -> Recognizer:
    return Recognizer(mean_x, ModelDescription(STEPS, get_skeleton("hand_42"), {"classes": ("left", "right")}))


def frame(x: float) -> np.ndarray:
    return np.full((42, 3), [x, 0.5, 0.5])


def test_decisions_follow_every_stride_after_the_first_frames(recognizer):
    stream = StreamingRecognizer(recognizer, window=4, stride=3, min_frames=2)
    assert [k for k in range(10) if stream.push(frame(1)) is not None] == [1, 4, 7]


def test_a_window_holds_the_last_frames_only(recognizer):
    stream = StreamingRecognizer(recognizer, window=2, stride=1, min_frames=1, smoothing=0)
    scores = [stream.push(frame(x)).prediction.scores[1] for x in (1, 0.5, 0.25, 0.25)]
    assert scores == [1, 0.75, 0.375, 0.25]


def test_scores_are_averaged_over_windows(recognizer):
    stream = StreamingRecognizer(recognizer, window=1, stride=1, smoothing=0.5)
    assert [stream.push(frame(x)).prediction.scores[1] for x in (1, 0.5, 0.5)] == [1, 0.75, 0.625]


def test_a_class_is_recognized_from_the_threshold_on(recognizer):
    stream = StreamingRecognizer(recognizer, window=1, stride=1, smoothing=0, threshold=0.75)
    decisions = [stream.push(frame(x)) for x in (0.75, 0.5, 0.25)]
    assert [d.label for d in decisions] == [1, None, 0]
    assert [d.frame for d in decisions] == [0, 1, 2]
    assert all(d.latency_s > 0 for d in decisions)


def test_nothing_is_recognized_without_a_person_and_smoothing_starts_again(recognizer):
    stream = StreamingRecognizer(recognizer, window=1, stride=1, smoothing=0.5, threshold=0)
    stream.push(frame(1))
    assert stream.push(np.zeros((42, 3))).label is None
    assert stream.push(frame(0.5)).prediction.scores[1] == 0.5


def test_reset_begins_another_stream(recognizer):
    stream = StreamingRecognizer(recognizer, window=4, stride=1, min_frames=2)
    stream.push(frame(1))
    stream.reset()
    assert stream.push(frame(0)) is None
    assert stream.push(frame(0)).prediction.scores[0] == 1


def test_the_scores_of_a_full_window_are_those_of_the_clip(trained):
    recognizer = Recognizer.from_checkpoint(trained[0])
    clip = np.random.default_rng(0).random((12, 184, 4))
    stream = StreamingRecognizer(recognizer, window=12, stride=1, min_frames=12)
    decisions = [stream.push(points) for points in clip]
    assert np.array_equal(decisions[-1].prediction.scores, recognizer(clip.astype(np.float32)).scores)


@pytest.mark.parametrize("options", [{"window": 0}, {"smoothing": 1}, {"threshold": 2}, {"window": 4, "min_frames": 5}])
def test_options_out_of_range_are_refused(recognizer, options):
    with pytest.raises(ConfigError, match="StreamingRecognizer"):
        StreamingRecognizer(recognizer, **options)


def test_a_frame_of_another_skeleton_is_refused(recognizer):
    with pytest.raises(SkeletonError, match="has 75 keypoints"):
        StreamingRecognizer(recognizer, window=1, stride=1).push(np.ones((75, 3)))
