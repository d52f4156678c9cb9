"""Resampling of clips in time, without inventing keypoints that were never detected."""

from __future__ import annotations

import numpy as np

from karsl.checks import check_number, check_range
from karsl.datasets.rng import CounterRNG
from karsl.datasets.transforms.base import ClipMeta, DeferredOps, KeypointTransform, Params
from karsl.errors import ConfigError
from karsl.registry import TRANSFORMS

FRAME_KEYS = ("keypoint", "keypoint_score", "num_frames", "frame_inds")
"""Keys that change when a clip is read at other positions."""


def interpolate_frames(
    keypoint: np.ndarray, score: np.ndarray, positions: np.ndarray, *, missing_is_zero: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate linearly between the two frames around each position, point by point.

    A point that is missing in one of the two frames is copied from the other; a point that is missing in both stays
    missing. An integer position returns exactly its frame.

    Args:
        keypoint: float32 (T, V, C), NaN where missing.
        score: float32 (T, V), 0 where missing.
        positions: float64 (L,), each in [0, T - 1].
        missing_is_zero: Interpolate missing points as the coordinate 0, as the reference project does. This creates
            points between the true one and the corner of the image.

    Returns:
        keypoint float32 (L, V, C), score float32 (L, V).

    Example:
        >>> x = np.array([[[1.0]], [[3.0]], [[np.nan]]], np.float32)
        >>> points, _ = interpolate_frames(x, np.array([[1.0], [1.0], [0.0]], np.float32), np.array([0.5, 1.75, 2.0]))
        >>> points.ravel().tolist()
        [2.0, 3.0, nan]
    """
    first = np.floor(positions).astype(np.int64)
    second = np.minimum(first + 1, len(keypoint) - 1)
    weight = (positions - first)[:, None]
    score0, score1 = score[first], score[second]
    present0, present1 = score0 > 0, (score1 > 0) & (weight > 0)
    if missing_is_zero:
        keypoint = np.where(score[..., None] > 0, keypoint, np.float32(0))
        point = (1 - weight[..., None]) * keypoint[first] + weight[..., None] * keypoint[second]
        new_keypoint, new_score = point.astype(np.float32), ((1 - weight) * score0 + weight * score1).astype(np.float32)
    else:
        weight = np.where(present0 & present1, weight.astype(np.float32), present1.astype(np.float32))
        new_keypoint = _interpolate(keypoint[first], keypoint[second], weight[..., None])
        new_score = _interpolate(score0, score1, weight)
    present = present0 | present1
    return np.where(present[..., None], new_keypoint, np.float32(np.nan)), np.where(present, new_score, np.float32(0))


def _interpolate(start: np.ndarray, end: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return `start` at weight 0 and `end` at weight 1, both exactly, even where the other is NaN."""
    return np.where(weight == 0, start, np.where(weight == 1, end, start + (end - start) * weight))


def frame_update(results: dict, positions: np.ndarray, *, missing_is_zero: bool = False) -> dict:
    """Return the values of `FRAME_KEYS` when a clip is read at `positions`."""
    keypoint, score = interpolate_frames(
        results["keypoint"], results["keypoint_score"], positions, missing_is_zero=missing_is_zero
    )
    return {
        "keypoint": keypoint,
        "keypoint_score": score,
        "num_frames": len(positions),
        "frame_inds": source_positions(results, positions),
    }


def source_positions(results: dict, positions: np.ndarray) -> np.ndarray:
    """Map current positions (L,) to float64 (L,) positions in the stored clip, through earlier temporal transforms."""
    earlier = results.get("frame_inds")
    if earlier is None:
        return np.asarray(positions, dtype=np.float64)
    return np.interp(positions, np.arange(len(earlier)), earlier)


@TRANSFORMS.register_module()
class RandomResample(KeypointTransform):
    """Change the speed of a clip: resample T frames to round(T / speed).

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T', V, C).
        keypoint_score: float32 (T', V).
        num_frames: T', at least 1.
    Added Keys:
        frame_inds: float64 (T',), positions in the stored clip.

    Args:
        speed: (slowest, fastest). The logarithm is sampled uniformly, so half and double speed are equally likely.

    Raises:
        ConfigError: If `speed` is not an ascending pair of positive numbers.
    """

    rng_name = "RandomSpeed"  # an earlier name of the class, kept for its random numbers
    modified_keys = FRAME_KEYS

    def __init__(self, speed: tuple[float, float] = (0.8, 1.25)) -> None:
        self.speed = check_range(self, "speed", speed, low=1e-3)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        low, high = np.log(self.speed)
        return {"speed": np.exp(rng.uniform("speed", low=low, high=high))}

    def apply(self, results: dict, params: Params) -> dict:
        frames = np.array([len(results["keypoint"])])
        return frame_update(results, _stretched_positions(frames, params["speed"][None])[0])

    def defer(self, batch: DeferredOps, params: Params) -> None:
        positions, lengths = _stretched_positions(batch.num_frames, params["speed"])
        batch.resample(positions, lengths=lengths)


@TRANSFORMS.register_module()
class ResampleFPS(KeypointTransform):
    """Change the frame rate of a clip, from that of its record, so that clips of several corpora have one time scale.

    Frames between two stored ones are interpolated. A lower rate takes frames at distances and does not average.

    Required Keys:
        keypoint, keypoint_score
    Modified Keys:
        keypoint: float32 (T', V, C).
        keypoint_score: float32 (T', V).
        num_frames: T' = round(T * fps / rate of the record), at least 1.
    Added Keys:
        frame_inds: float64 (T',), positions in the stored clip.
        fps: float, the new rate.

    Args:
        fps: Frames per second of the output.
        source_fps: Frames per second of clips whose record has no `fps`; None raises an error for them.

    Raises:
        ConfigError: If a rate is not above 0, or a clip has no `fps` and there is no `source_fps`.
    """

    uses_fps = True
    modified_keys = (*FRAME_KEYS, "fps")

    def __init__(self, fps: float, *, source_fps: float | None = None) -> None:
        self.fps = check_number(self, "fps", fps, low=1e-3)
        self.source_fps = None if source_fps is None else check_number(self, "source_fps", source_fps, low=1e-3)

    def get_params(self, meta: ClipMeta, rng: CounterRNG) -> Params:
        unknown = np.nan if self.source_fps is None else self.source_fps
        rates = np.full(len(rng), np.nan) if meta.fps is None else meta.fps
        rates = np.where(np.isnan(rates), unknown, rates)
        if not (rates > 0).all():
            found = "no 'fps'" if np.isnan(rates).any() else f"fps={rates.min():g}"
            raise ConfigError(f"ResampleFPS: a record has {found}; add the rate to the annotation file, or give source_fps")
        return {"speed": rates / self.fps}

    def apply(self, results: dict, params: Params) -> dict:
        frames = np.array([len(results["keypoint"])])
        return frame_update(results, _timed_positions(frames, params["speed"][None])[0]) | {"fps": self.fps}

    def defer(self, batch: DeferredOps, params: Params) -> None:
        positions, lengths = _timed_positions(batch.num_frames, params["speed"])
        batch.resample(positions, lengths=lengths)
        batch.fps = np.full(len(batch), self.fps)


def _stretched_positions(frames: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions float64 (F,) that cover clips of int64 (N,) frames, played at (N,) speeds, and their new lengths."""
    lengths, number, last = _output_frames(frames, speed)
    return _limit((number + 0.5) * (last + 1) / np.repeat(lengths, lengths) - 0.5, last), lengths


def _timed_positions(frames: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions at exactly the distance `speed`, and the new lengths, see `_stretched_positions`."""
    lengths, number, last = _output_frames(frames, speed)
    return _limit((number + 0.5) * np.repeat(speed, lengths) - 0.5, last), lengths


def _limit(positions: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Limit positions to [0, last], faster than `np.clip`."""
    np.maximum(positions, 0, out=positions)
    return np.minimum(positions, last, out=positions)


def _output_frames(frames: np.ndarray, speed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return new lengths (N,), and for each new frame (F,) its number in its clip and the last stored frame."""
    lengths = np.maximum(np.rint(frames / speed), 1).astype(np.int64)
    number = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return lengths, number, np.repeat(frames - 1, lengths)
