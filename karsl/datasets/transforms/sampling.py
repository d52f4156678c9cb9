"""Sampling of a fixed number of frames from clips of any length."""

from __future__ import annotations

import numpy as np

from karsl.checks import check_clip_len, check_prob
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, KeypointTransform, Params
from karsl.datasets.transforms.resample import FRAME_KEYS, frame_update, source_positions
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS


def segment_positions(num_frames: np.ndarray, offsets: np.ndarray, *, mode: str = "blend") -> np.ndarray:
    """Return one frame position in each of L equal segments of N clips.

    Frame t covers [t, t + 1), so its center is at t + 0.5: L = T with centered offsets returns 0, 1, ... T - 1.

    Args:
        num_frames: int64 (N,), lengths of the clips.
        offsets: float64 (N, L) or (1, L), offset in each segment in [0, 1); 0.5 is its center.
        mode: `'blend'` returns fractional positions, `'nearest'` integer ones, `'legacy'` the positions of the reference
            project, which are half a frame late.

    Returns:
        float64 (N, L), non-decreasing along L, each in [0, T - 1].

    Example:
        >>> segment_positions(np.array([4, 10]), np.full((1, 4), 0.5)).tolist()
        [[0.0, 1.0, 2.0, 3.0], [0.75, 3.25, 5.75, 8.25]]
        >>> segment_positions(np.array([4]), np.full((1, 4), 0.5), mode="legacy").tolist()
        [[0.5, 1.5, 2.5, 2.999999]]

    Source: Wang et al. 2016, Temporal Segment Networks, https://arxiv.org/abs/1608.00859
    """
    length = offsets.shape[-1]
    frames = np.asarray(num_frames, dtype=np.float64)[:, None]
    if mode == "legacy":
        width = frames / length
        return np.clip(np.arange(length) * width + offsets * width, 0, np.maximum(frames - 1 - 1e-6, 0))
    positions = (np.arange(length) + offsets) * frames
    positions /= length  # in this order integer positions are exact; in place, since a batch has thousands
    if mode == "nearest":
        np.floor(positions, out=positions)
    else:
        positions -= 0.5
        np.maximum(positions, 0, out=positions)
    return np.minimum(positions, frames - 1, out=positions)


class _PositionSampler(KeypointTransform):
    """Base of transforms whose parameter `positions` is the frame position of each output frame."""

    missing_is_zero = False

    def apply(self, results: dict, params: Params) -> dict:
        return frame_update(results, params["positions"], missing_is_zero=self.missing_is_zero)

    def defer(self, batch: DeferredOps, params: Params) -> None:
        batch.resample(params["positions"], missing_is_zero=self.missing_is_zero)


@TRANSFORMS.register_module()
class TSNSampleFrames(_PositionSampler):
    """Divide a clip into `clip_len` equal segments and sample one frame position from each.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the stored clip.

    Args:
        clip_len: Number of frames to return; a shorter clip is interpolated or repeated.
        jitter: Width of the random offset in a segment, 0 to 1; 0 uses the centers (evaluation).
        mode: `'blend'` interpolates between the two frames around a position, `'nearest'` returns stored frames.

    Raises:
        ConfigError: If an argument is outside its range.

    Source: Wang et al. 2016, Temporal Segment Networks, https://arxiv.org/abs/1608.00859
    """

    modified_keys = FRAME_KEYS
    MODES = ("blend", "nearest")

    def __init__(self, clip_len: int, jitter: float = 0.0, *, mode: str = "blend") -> None:
        if mode not in self.MODES:
            raise ConfigError(f"{type(self).__name__}: mode={mode!r}; expected one of {self.MODES}")
        self.clip_len = check_clip_len(self, clip_len)
        self.jitter, self.mode = check_prob(self, "jitter", jitter), mode

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        offsets = np.full((1, self.clip_len), 0.5)
        if self.jitter:
            offsets = rng.uniform("place", self.clip_len)
            offsets -= 0.5
            offsets *= self.jitter
            offsets += 0.5
        return {"positions": segment_positions(meta.num_frames, offsets, mode=self.mode)}


@TRANSFORMS.register_module()
class LegacyTSNSampleFrames(TSNSampleFrames):
    """TSNSampleFrames with the numbers of the reference project, for checkpoints that were trained with it.

    Positions are half a frame late, and missing keypoints are interpolated as zeros. Use TSNSampleFrames for new models.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the stored clip.

    Args:
        clip_len: Number of frames to return.
        jitter: Width of the random offset in a segment, 0 to 1; 0 uses the centers (evaluation).

    Raises:
        ConfigError: If an argument is outside its range.
    """

    rng_name = "TSNSampleFrames"
    modified_keys = FRAME_KEYS
    mode, missing_is_zero = "legacy", True

    def __init__(self, clip_len: int, jitter: float = 0.0) -> None:
        self.clip_len, self.jitter = check_clip_len(self, clip_len), check_prob(self, "jitter", jitter)


@TRANSFORMS.register_module()
class UniformSampleFrames(_PositionSampler):
    """Select `clip_len` stored frames, one from each equal segment; a shorter clip is repeated in a loop.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the stored clip.

    Args:
        clip_len: Number of frames to return.
        test_mode: Use the middle of each segment and start loops at frame 0.

    Source: the idea of pyskl's sampler, Duan et al. 2022, Revisiting Skeleton-based Action Recognition,
        https://arxiv.org/abs/2104.13586. For `clip_len <= T < 2 * clip_len` pyskl samples differently.
    """

    modified_keys = FRAME_KEYS

    def __init__(self, clip_len: int, *, test_mode: bool = False) -> None:
        self.clip_len, self.test_mode = check_clip_len(self, clip_len), test_mode

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        frames, length = meta.num_frames[:, None], self.clip_len
        offset = 0.5 if self.test_mode else rng.uniform("place", length)
        segments = np.floor((np.arange(length) + offset) * frames / length).astype(np.int64)
        start = 0 if self.test_mode else rng.integers("start", meta.num_frames)[:, None]
        loop = (start + np.arange(length)) % frames
        return {"positions": np.where(frames < length, loop, np.minimum(segments, frames - 1)).astype(np.float64)}


@TRANSFORMS.register_module()
class PadTo(KeypointTransform):
    """Pad or crop a clip to exactly `clip_len` frames without resampling.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the stored clip, NaN for padding.

    Args:
        clip_len: Number of frames to return.
        mode: Padding of a shorter clip: `'missing'` adds missing keypoints, `'repeat'` repeats the last frame, `'loop'`
            starts again at the first.
        crop: Part of a longer clip to return: `'start'`, `'center'` or `'random'`.

    Raises:
        ConfigError: If `mode` or `crop` is unknown, or `clip_len` is less than 1.
    """

    rng_name = "PadFrames"  # an earlier name of the class, kept for its random numbers
    modified_keys = FRAME_KEYS
    MODES, CROPS = ("missing", "repeat", "loop"), ("start", "center", "random")

    def __init__(self, clip_len: int, *, mode: str = "missing", crop: str = "center") -> None:
        if mode not in self.MODES or crop not in self.CROPS:
            raise ConfigError(f"PadTo: mode={mode!r}, crop={crop!r}; expected {self.MODES} and {self.CROPS}")
        self.clip_len, self.mode, self.crop = check_clip_len(self, clip_len), mode, crop

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        surplus = np.maximum(meta.num_frames - self.clip_len, 0)
        if self.crop == "random":
            return {"start": rng.integers("start", surplus + 1)}
        return {"start": surplus // 2 if self.crop == "center" else np.zeros_like(surplus)}

    def apply(self, results: dict, params: Params) -> dict:
        source, padding = self._source_frames(params["start"], len(results["keypoint"]))
        keypoint, score = results["keypoint"][source], results["keypoint_score"][source]
        positions = source_positions(results, source.astype(np.float64))
        if self.mode == "missing":
            keypoint[padding], score[padding] = np.nan, 0
        return {
            "keypoint": keypoint,
            "keypoint_score": score,
            "num_frames": self.clip_len,
            "frame_inds": np.where(padding, np.nan, positions),
        }

    def defer(self, batch: DeferredOps, params: Params) -> None:
        source, padding = self._source_frames(params["start"][:, None], batch.num_frames[:, None])
        batch.resample(source, padding=padding)
        if self.mode == "missing" and padding.any():
            batch.mask_frames(list(padding))

    def _source_frames(self, start: np.ndarray, frames: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Return frame indices (..., clip_len) and bool where they are padding."""
        wanted = start + np.arange(self.clip_len)
        return wanted % frames if self.mode == "loop" else np.minimum(wanted, frames - 1), wanted >= frames
