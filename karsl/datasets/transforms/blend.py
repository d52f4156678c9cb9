"""Read a clip at fractional frame positions without inventing points that were never seen."""

from __future__ import annotations

import numpy as np


def blend_frames(
    keypoint: np.ndarray, score: np.ndarray, positions: np.ndarray, *, missing_is_zero: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Blend the two frames around each position, point by point.

    Where one of the two frames lacks a point, the other's is taken; where both lack it, it stays missing. A whole
    position takes exactly its frame.

    Args:
        keypoint: float32 (T, V, C), NaN where missing.
        score: float32 (T, V), 0 where missing.
        positions: float64 (L,), each in [0, T - 1].
        missing_is_zero: Blend a missing point as the coordinate 0 (the reference project's way, which makes ghosts
            between the point and the picture's corner).

    Returns:
        keypoint float32 (L, V, C), score float32 (L, V).

    Example:
        >>> x = np.array([[[1.0]], [[3.0]], [[np.nan]]], np.float32)
        >>> blended, _ = blend_frames(x, np.array([[1.0], [1.0], [0.0]], np.float32), np.array([0.5, 1.75, 2.0]))
        >>> blended.ravel().tolist()
        [2.0, 3.0, nan]
    """
    first = np.floor(positions).astype(np.int64)
    second = np.minimum(first + 1, len(keypoint) - 1)
    weight = (positions - first)[:, None]
    score0, score1 = score[first], score[second]
    here0, here1 = score0 > 0, (score1 > 0) & (weight > 0)
    if missing_is_zero:
        keypoint = np.where(score[..., None] > 0, keypoint, np.float32(0))
        point = (1 - weight[..., None]) * keypoint[first] + weight[..., None] * keypoint[second]
        blended = point.astype(np.float32), ((1 - weight) * score0 + weight * score1).astype(np.float32)
    else:
        weight = np.where(here0 & here1, weight.astype(np.float32), here1.astype(np.float32))
        blended = _between(keypoint[first], keypoint[second], weight[..., None]), _between(score0, score1, weight)
    present = here0 | here1
    return np.where(present[..., None], blended[0], np.float32(np.nan)), np.where(present, blended[1], np.float32(0))


def _between(start: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """From `start` at weight 0 to `end` at 1, both exactly, even where the other is NaN."""
    return np.where(weight == 0, start, np.where(weight == 1, end, start + (end - start) * weight))


def frame_update(results: dict, positions: np.ndarray, **options: bool) -> dict:
    """The keys that change when a clip is read at `positions`: keypoint, score, length and frame numbers."""
    keypoint, score = blend_frames(results["keypoint"], results["keypoint_score"], positions, **options)
    return {
        "keypoint": keypoint,
        "keypoint_score": score,
        "num_frames": len(positions),
        "frame_inds": disk_positions(results, positions),
    }


def disk_positions(results: dict, positions: np.ndarray) -> np.ndarray:
    """float64 (L,): current positions as positions in the clip on disk, through earlier temporal steps."""
    earlier = results.get("frame_inds")
    if earlier is None:
        return np.asarray(positions, dtype=np.float64)
    return np.interp(positions, np.arange(len(earlier)), earlier)
