"""Smoothing of keypoints in time."""

from __future__ import annotations

import numpy as np

from karsl.checks import check_int
from karsl.datasets.transforms.base import DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS


def smooth_frames(keypoint: np.ndarray, present: np.ndarray, radius: int) -> np.ndarray:
    """Replace each present keypoint by its mean over the frames at most `radius` away in which it is present.

    Args:
        keypoint: float32 (T, V, C).
        present: bool (T, V).
        radius: Distance in frames.

    Returns:
        float32 (T, V, C); keypoints that are not present are unchanged.

    Example:
        >>> x = np.array([1, 3, np.nan, 7], np.float32).reshape(4, 1, 1)
        >>> smooth_frames(x, ~np.isnan(x[..., 0]), radius=1).ravel().tolist()
        [2.0, 2.0, nan, 7.0]
    """
    known = np.where(present[..., None], keypoint, np.float32(0))
    total, count, frames = np.zeros_like(known), np.zeros(present.shape, np.float32), len(known)
    for shift in range(-radius, radius + 1):
        first, last = max(-shift, 0), min(frames - shift, frames)
        if first < last:
            total[first:last] += known[first + shift : last + shift]
            count[first:last] += present[first + shift : last + shift]
    return np.where(present[..., None], total / np.maximum(count, 1)[..., None], keypoint)


@TRANSFORMS.register_module()
class SmoothKeypoints(KeypointTransform):
    """Average each keypoint over neighboring frames, against the jitter of a detector; missing frames do not count.

    At the ends of a clip fewer frames are averaged. A keypoint that is missing stays missing.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T, V, C).

    Args:
        window: Number of frames of the moving average, odd.

    Raises:
        ConfigError: If `window` is not an odd number of at least 1.
    """

    modified_keys = ("keypoint",)

    def __init__(self, window: int = 5) -> None:
        check_int("SmoothKeypoints", low=1, window=window)
        if window % 2 == 0:
            raise ConfigError(f"SmoothKeypoints: window={window}; expected an odd number, with as many frames on both sides")
        self.window = window

    def apply(self, results: dict, params: Params) -> dict:
        present = results["keypoint_score"] > 0
        return {"keypoint": smooth_frames(results["keypoint"], present, self.window // 2)}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.smooth(self.window // 2)
