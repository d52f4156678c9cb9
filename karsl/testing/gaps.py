"""What a detector does not see: hands that are down, runs of lost frames, clips without irises."""

from __future__ import annotations

import numpy as np

from karsl.testing.face import iris_rows
from karsl.testing.performance import FACE, LEFT, POSE, RIGHT, Performance


def detect(performance: Performance, rng: np.random.Generator) -> np.ndarray:
    """Turn a performance into what an extractor would have stored.

    Args:
        performance: The complete clip.
        rng: Draws what is lost.

    Returns:
        float32 (T, 184, 4), x y z visibility. What was not seen is zeros with visibility 0.
    """
    num_frames = len(performance.keypoint)
    seen = np.ones(performance.keypoint.shape[:2])
    seen[:, POSE] = _pose_visibility(performance.raised, rng)
    for side, rows, most_lost in ((0, RIGHT, 0.66), (1, LEFT, 1.0)):
        seen[:, rows] = _hand_seen(performance.raised[:, side], most_lost, rng)[:, None]
    if rng.random() < 0.5:  # an extractor run without iris refinement
        seen[:, FACE.start + iris_rows()] = 0
    if rng.random() < 0.04:  # a face turned away or covered
        seen[:, FACE] *= ~_run(num_frames, 0.15, rng)[:, None]
    clip = np.concatenate([performance.keypoint, seen[..., None]], axis=-1)
    return np.where(seen[..., None] > 0, clip, 0).astype(np.float32)


def _pose_visibility(raised: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, 6): shoulders are always sure, a wrist that hangs down is not. Pose is never missing."""
    left_right = raised[:, ::-1]  # pose points alternate left, right
    shoulder = np.full_like(left_right, 0.99)
    elbow, wrist = 0.7 + 0.28 * left_right, 0.25 + 0.73 * left_right
    sure = np.concatenate([shoulder, elbow, wrist], axis=-1)
    return np.clip(sure + rng.normal(0, 0.02, sure.shape), 0.05, 1.0)


def _hand_seen(raised: np.ndarray, most_lost: float, rng: np.random.Generator) -> np.ndarray:
    """Whether one hand is seen, bool (T,)."""
    if raised.max() < 0.5:  # a hand at rest: mostly never seen
        always_lost = rng.random() < 0.8
        return np.zeros(len(raised), bool) if always_lost else _run(len(raised), 0.5, rng)
    seen = raised > rng.uniform(0.15, 0.5)
    before = seen.copy()
    for _ in range(rng.poisson(0.8)):
        seen &= ~_run(len(raised), 0.15, rng)
    return seen if 1 - seen.mean() <= most_lost else before


def _run(num_frames: int, mean_share: float, rng: np.random.Generator) -> np.ndarray:
    """One run of frames somewhere in the clip, bool (T,), of `mean_share` of it on average."""
    length = 1 + int(num_frames * min(rng.exponential(mean_share), 1.0))
    start = rng.integers(0, max(num_frames - length, 0) + 1)
    frames = np.arange(num_frames)
    return (frames >= start) & (frames < start + length)
