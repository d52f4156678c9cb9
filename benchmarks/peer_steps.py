"""The steps of `benchmarks.transforms` in numpy, on one clip, as commonly written for a memory map.

A clip is float32 (T, V, 4): x, y, z, visibility; 0 where missing. `before` steps change a stored clip, `after` steps the
frames that were sampled from it.
"""

from __future__ import annotations

import numpy as np

from karsl.datasets.transforms.streams import bone_parents
from karsl.skeletons import get_skeleton

_SKELETON = get_skeleton("karsl_184")
_RNG = np.random.default_rng(0)
_SHOULDERS = _SKELETON.indices(("left_shoulder", "right_shoulder"))


def add_noise(clip: np.ndarray) -> np.ndarray:
    """Add Gaussian noise to the coordinates."""
    clip[..., :3] += np.float32(0.005) * _RNG.standard_normal((*clip.shape[:2], 3), np.float32)
    return clip


def fill_previous(clip: np.ndarray) -> np.ndarray:
    """Repeat the last present position of a missing point."""
    frames = np.where(clip[..., 3] > 0, np.arange(len(clip))[:, None], 0)
    return clip[np.maximum.accumulate(frames, axis=0), np.arange(clip.shape[1])]


def fill_linear(clip: np.ndarray) -> np.ndarray:
    """Interpolate missing points in time."""
    time = np.arange(len(clip))
    for v in np.flatnonzero((clip[..., 3] == 0).any(0)):
        seen = clip[:, v, 3] > 0
        if seen.any():
            for c in range(3):
                clip[:, v, c] = np.interp(time, time[seen], clip[seen, v, c])
    return clip


def fill_constant(clip: np.ndarray) -> np.ndarray:
    """Set missing points to a number."""
    clip[..., :3][clip[..., 3] == 0] = 0.5
    return clip


def smooth(clip: np.ndarray) -> np.ndarray:
    """Average five frames."""
    seen = (clip[..., 3:] > 0).astype(np.float32)
    padded = np.pad(np.concatenate([clip[..., :3] * seen, seen], -1), ((2, 2), (0, 0), (0, 0)))
    total = sum((padded[shift : shift + len(clip)] for shift in range(1, 5)), start=padded[: len(clip)])
    return np.concatenate([total[..., :3] / np.maximum(total[..., 3:], 1), clip[..., 3:]], -1)


def bones(clip: np.ndarray) -> np.ndarray:
    """Subtract the parent of each point."""
    return np.concatenate([clip[..., :3] - clip[:, bone_parents(_SKELETON), :3], clip[..., 3:]], -1)


def motion(clip: np.ndarray) -> np.ndarray:
    """Subtract the frame before."""
    out = clip.copy()
    out[1:, :, :3] -= clip[:-1, :, :3]
    out[0, :, :3] = 0
    return out


def center(clip: np.ndarray) -> np.ndarray:
    """Move the shoulders to the origin and scale their distance to 1."""
    shoulders = clip[:, _SHOULDERS]
    seen = (shoulders[..., 3] > 0).all(1)
    if seen.any():
        left, right = shoulders[seen, 0, :2], shoulders[seen, 1, :2]
        clip[..., :2] -= (left + right).mean(0) / 2
        clip[..., :3] /= np.linalg.norm(left - right, axis=1).mean()
    return clip


def center_groups(clip: np.ndarray) -> np.ndarray:
    """Move each group to its mean and scale its radius to 1."""
    for part in _SKELETON.groups.values():
        seen = clip[:, part, 3] > 0
        if seen.any():
            points = clip[:, part, :2][seen]
            clip[:, part, :2] -= points.mean(0)
            clip[:, part, :3] /= max(float(np.sqrt(points.var(0).sum())), 1e-9)
    return clip


def move_groups(clip: np.ndarray) -> np.ndarray:
    """Rotate, scale and shift each group about its mean."""
    for part in _SKELETON.groups.values():
        angle, scale = _RNG.uniform(-0.2, 0.2), _RNG.uniform(0.9, 1.1)
        matrix = (scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])).astype(np.float32)
        mean = clip[:, part, :2].mean((0, 1))
        clip[:, part, :2] = (clip[:, part, :2] - mean) @ matrix.T + (mean + _RNG.uniform(-0.05, 0.05, 2)).astype(np.float32)
        clip[:, part, 2] *= np.float32(scale)
    return clip


def drop_points(clip: np.ndarray) -> np.ndarray:
    """Remove a tenth of the points."""
    clip[:, _RNG.random(clip.shape[1]) < 0.1] = 0
    return clip


def drop_frames(clip: np.ndarray) -> np.ndarray:
    """Remove a tenth of the frames."""
    clip[_RNG.random(len(clip)) < 0.1] = 0
    return clip


def select_points(clip: np.ndarray) -> np.ndarray:
    """Move the hands to the front."""
    return clip[:, np.r_[142:184, 0:142]]


def change_speed(clip: np.ndarray) -> np.ndarray:
    """Resample a clip by a random factor."""
    length = max(1, round(len(clip) / float(np.exp(_RNG.uniform(np.log(0.8), np.log(1.25))))))
    positions = np.clip((np.arange(length) + 0.5) * len(clip) / length - 0.5, 0, len(clip) - 1)
    first = positions.astype(np.int64)
    weight = (positions - first).astype(np.float32)[:, None, None]
    return clip[first] * (1 - weight) + clip[np.minimum(first + 1, len(clip) - 1)] * weight


def scale_depth(clip: np.ndarray) -> np.ndarray:
    """Scale z by a random ratio."""
    clip[..., 2] *= np.float32(_RNG.uniform(0.5, 1.5))
    return clip
