"""Change how long a clip is: pad or crop it, or play it at another speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from karsl.checks import check_clip_len, check_range
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, KeypointTransform, Params
from karsl.datasets.transforms.blend import disk_positions, frame_update
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS

if TYPE_CHECKING:
    from karsl.datasets.fused.pending import PendingClips


@TRANSFORMS.register_module()
class PadFrames(KeypointTransform):
    """Bring a clip to exactly `clip_len` frames without resampling: pad a shorter one, crop a longer one.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (clip_len, V, C).
        keypoint_score: float32 (clip_len, V).
        num_frames: clip_len.
    Added Keys:
        frame_inds: float64 (clip_len,), positions in the clip on disk, NaN for padding.

    Args:
        clip_len: Frames to give.
        mode: `'missing'` pads with missing points, `'repeat'` holds the last frame, `'loop'` starts again.
        crop: Where a longer clip is cut: `'start'`, `'centre'` or `'random'`.

    Raises:
        ConfigError: An unknown mode or crop.
    """

    MODES, CROPS = ("missing", "repeat", "loop"), ("start", "centre", "random")

    def __init__(self, clip_len: int, *, mode: str = "missing", crop: str = "centre") -> None:
        if mode not in self.MODES or crop not in self.CROPS:
            raise ConfigError(f"PadFrames: mode={mode!r}, crop={crop!r}; expected {self.MODES} and {self.CROPS}")
        self.clip_len, self.mode, self.crop = check_clip_len(self, clip_len), mode, crop

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        room = np.maximum(meta.num_frames - self.clip_len, 0)
        start = {
            "start": lambda: np.zeros_like(room),
            "centre": lambda: room // 2,
            "random": lambda: draw.integers("start", room + 1),
        }[self.crop]()
        return {"start": start}

    def apply(self, results: dict, params: Params) -> dict:
        source, padding = self._places(params["start"], len(results["keypoint"]))
        keypoint, score = results["keypoint"][source], results["keypoint_score"][source]
        inds = disk_positions(results, source.astype(np.float64))
        if self.mode == "missing":
            keypoint[padding], score[padding] = np.nan, 0
        return {
            "keypoint": keypoint,
            "keypoint_score": score,
            "num_frames": self.clip_len,
            "frame_inds": np.where(padding, np.nan, inds),
        }

    def defer(self, clips: PendingClips, params: Params) -> None:
        source, padding = self._places(params["start"][:, None], clips.num_frames[:, None])
        clips.read_at(source, padding=padding)
        if self.mode == "missing" and padding.any():
            clips.hide_frames(list(padding))

    def _places(self, start: np.ndarray, frames: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
        """Frame numbers (..., clip_len) and bool where they are padding."""
        wanted = start + np.arange(self.clip_len)
        return wanted % frames if self.mode == "loop" else np.minimum(wanted, frames - 1), wanted >= frames


@TRANSFORMS.register_module()
class RandomSpeed(KeypointTransform):
    """Play a clip faster or slower: resample T frames to round(T / speed).

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T', V, C).
        keypoint_score: float32 (T', V).
        num_frames: T', at least 1.
    Added Keys:
        frame_inds: float64 (T',), positions in the clip on disk.

    Args:
        speed: (slowest, fastest); drawn so that half and double speed are as likely.

    Raises:
        ConfigError: `speed` is not an ascending pair of positive numbers.
    """

    def __init__(self, speed: tuple[float, float] = (0.8, 1.25)) -> None:
        self.speed = check_range(self, "speed", speed, low=1e-3)

    def sample_params(self, meta: ClipMeta, draw: CounterRNG) -> Params:
        low, high = np.log(self.speed)
        return {"speed": np.exp(draw.uniform("speed", low=low, high=high))}

    def apply(self, results: dict, params: Params) -> dict:
        return frame_update(results, _resampled(len(results["keypoint"]), float(params["speed"])))

    def defer(self, clips: PendingClips, params: Params) -> None:
        clips.read_at([_resampled(int(t), float(s)) for t, s in zip(clips.num_frames, params["speed"], strict=True)])


def _resampled(frames: int, speed: float) -> np.ndarray:
    """float64 (T',), positions of a clip of T frames played at a speed."""
    length = max(1, round(frames / speed))
    return np.clip((np.arange(length) + 0.5) * frames / length - 0.5, 0, frames - 1)
