"""Choose a fixed number of frames from a clip of any length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from karsl.checks import check_clip_len, check_prob
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, KeypointTransform, Params
from karsl.datasets.transforms.blend import frame_update
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


def tsn_positions(num_frames: np.ndarray, places: np.ndarray, *, mode: str = "blend") -> np.ndarray:
    """Frame positions, one in each of L equal segments.

    Frame t covers [t, t + 1) of the clip, so its centre is at t + 0.5: L = T with centred places gives 0, 1, ... T - 1.

    Args:
        num_frames: int64 (N,), lengths of the clips.
        places: float64 (N, L) or (1, L), place inside each segment in [0, 1); 0.5 is its centre.
        mode: `'blend'` gives fractional positions, `'nearest'` whole frames, `'reference'` the positions of the
            reference project, which are half a frame late.

    Returns:
        float64 (N, L), non-decreasing along L, each in [0, T - 1].

    Example:
        >>> tsn_positions(np.array([4, 10]), np.full((1, 4), 0.5)).tolist()
        [[0.0, 1.0, 2.0, 3.0], [0.75, 3.25, 5.75, 8.25]]
        >>> tsn_positions(np.array([4]), np.full((1, 4), 0.5), mode="reference").tolist()
        [[0.5, 1.5, 2.5, 2.999999]]

    Source: Wang et al. 2016, Temporal Segment Networks, https://arxiv.org/abs/1608.00859
    """
    length = places.shape[-1]
    frames = np.asarray(num_frames, dtype=np.float64)[:, None]
    if mode == "reference":
        width = frames / length
        return np.clip(np.arange(length) * width + places * width, 0, np.maximum(frames - 1 - 1e-6, 0))
    positions = (np.arange(length) + places) * frames
    positions /= length  # in this order what is whole comes out whole; in place, for a batch has thousands
    if mode == "nearest":
        np.floor(positions, out=positions)
    else:
        positions -= 0.5
        np.maximum(positions, 0, out=positions)
    return np.minimum(positions, frames - 1, out=positions)


@TRANSFORMS.register_module()
class TSNSampleFrames(KeypointTransform):
    """Cut a clip into `clip_len` equal segments and read one position in each.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the clip on disk.

    Args:
        clip_len: Frames to give; a shorter clip repeats or blends.
        jitter: Width of the random place in a segment, 0 to 1; 0 takes the centres (evaluation).
        mode: `'blend'` mixes the two frames around a position, `'nearest'` takes whole frames, `'reference'` gives
            the reference project's numbers for people with its checkpoints (late by half a frame, missing as 0).

    Raises:
        ConfigError: An argument outside its range.

    Source: Wang et al. 2016, Temporal Segment Networks, https://arxiv.org/abs/1608.00859
    """

    MODES = ("blend", "nearest", "reference")

    def __init__(self, clip_len: int, jitter: float = 0.0, *, mode: str = "blend") -> None:
        if mode not in self.MODES:
            raise ConfigError(f"TSNSampleFrames: mode={mode!r}; expected one of {self.MODES}")
        self.clip_len = check_clip_len(self, clip_len)
        self.jitter, self.mode = check_prob(self, "jitter", jitter), mode

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        places = np.full((1, self.clip_len), 0.5)
        if self.jitter:
            places = draw.uniform("place", self.clip_len)
            places -= 0.5
            places *= self.jitter
            places += 0.5
        return {"positions": tsn_positions(meta.num_frames, places, mode=self.mode)}

    def apply(self, results: dict, params: Params) -> dict:
        return frame_update(results, params["positions"], missing_is_zero=self.mode == "reference")

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.read_at(params["positions"], missing_is_zero=self.mode == "reference")


@TRANSFORMS.register_module()
class UniformSampleFrames(KeypointTransform):
    """Take `clip_len` whole frames, one from each equal segment; a shorter clip is read in a loop.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the clip on disk.

    Args:
        clip_len: Frames to give.
        test_mode: Take the middle of each segment and start loops at frame 0.

    Source: the idea of pyskl's sampler, Duan et al. 2022, Revisiting Skeleton-based Action Recognition,
        https://arxiv.org/abs/2104.13586
    """

    def __init__(self, clip_len: int, *, test_mode: bool = False) -> None:
        self.clip_len, self.test_mode = check_clip_len(self, clip_len), test_mode

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        frames, length = meta.num_frames[:, None], self.clip_len
        place = 0.5 if self.test_mode else draw.uniform("place", length)
        segments = np.floor((np.arange(length) + place) * frames / length).astype(np.int64)
        start = 0 if self.test_mode else draw.integers("start", meta.num_frames)[:, None]
        loop = (start + np.arange(length)) % frames
        return {"positions": np.where(frames < length, loop, np.minimum(segments, frames - 1)).astype(np.float64)}

    def apply(self, results: dict, params: Params) -> dict:
        return frame_update(results, params["positions"])

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.read_at(params["positions"])
