"""Figures of each clip, from one pass over the clips: a structured array with one row per clip.

Clips are measured many at a time. Of each, all frames of a few points are used (`Landmarks`), and a few frames of more
points.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from karsl.audit.hands import MIN_WRIST_DISTANCE
from karsl.audit.landmarks import PATH_POINTS, SIDES, Landmarks
from karsl.skeletons.skeleton import Skeleton, mirror_name

NUM_FRAMES, NUM_TIMES = 4, 8
"""Frames of a clip in which all points are measured, and of which its path consists."""
_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)
NO_HASH = np.uint64(2**64 - 1)
_MIN_HASHED = 3  # points of a frame
_LAG = 4  # frames
_BATCH_BYTES, _BATCH_CLIPS = 16 << 20, 64
NUM_MOMENTS = len(PATH_POINTS) * 4
PATH_SIZE = len(PATH_POINTS) * NUM_TIMES * 2

FIGURES = np.dtype(
    [
        ("num_frames", np.int32),
        ("largest", np.float32),  # absolute value of any number
        ("scale", np.float32),  # width of the shoulders, or spread of the points
        ("center", np.float32, 2),
        ("extent", np.float32, 3),  # of x, y and z over the measured frames
        ("shoulders", np.float32, 2),  # from the right to the left one, in units of the scale
        ("head", np.float32),  # height of the head above the shoulders, likewise
        ("face", np.float32),  # height of its top above the chin, likewise
        ("bones", np.float32, 4),  # mean length by group, as a share of the spread of the group
        ("seen", np.float32, 2),  # share of frames with the right and the left hand
        ("own", np.int32, 2),  # frames with the hand at the wrist of its own arm
        ("judged", np.int32, 2),  # frames in which that is known
        ("apart", np.float32),  # mean distance of the hands to the nearer arm, in units of the scale
        ("hands_apart", np.float32),  # mean distance of the two hands, likewise
        ("empty", np.float32),  # share of frames without any point
        ("equal", np.float32),  # share of frames that equal the one before
        ("step", np.float32),  # mean step of the hands, as a share of their spread
        ("smooth", np.float32),  # mean step, as a share of that in four frames
        ("travel", np.float32),  # spread of the hands in time, in units of the scale
        ("unsorted", np.float32),  # steps after undoing an alphabetical order of the frames, as a share of the steps
        ("groups", np.float32, 6),  # share of measured frames with any point of each group
        ("path", np.float16, PATH_SIZE),  # positions of arms and hands at equal times, in units of the scale
        ("moments", np.float32, NUM_MOMENTS),  # mean position and deviation of each of these points, likewise
        ("hashes", np.uint64, len(_FACTORS)),  # smallest hashes of a frame: clips that share frames share some of them
    ]
)


def measure_clips(clips: Sequence[np.ndarray], marks: Landmarks) -> np.ndarray:
    """Measure some clips.

    Args:
        clips: Canonical clips, float16 or float32 (T, V, 4), not empty.
        marks: Points of their skeleton.

    Returns:
        One row of `FIGURES` per clip. Figures that cannot be measured are NaN.
    """
    out = np.zeros(len(clips), FIGURES)
    out["num_frames"] = [len(clip) for clip in clips]
    out["largest"] = [_largest(clip) for clip in clips]
    times = (np.arange(NUM_FRAMES) * 2 + 1) / (2 * NUM_FRAMES)
    frames = (out["num_frames"][:, None] * times).astype(np.intp)
    sampled = Points.gather([clip[rows][:, marks.sampled] for clip, rows in zip(clips, frames, strict=True)])
    followed = Points.gather([clip[:, marks.followed] for clip in clips])
    starts = np.cumsum(out["num_frames"]) - out["num_frames"]
    with np.errstate(all="ignore"):
        _measure_body(out, sampled, marks)
        _measure_groups(out, sampled, marks)
        _measure_frames(out, followed, starts)
        _measure_hands(out, followed, starts, marks)
        _measure_motion(out, followed, starts, marks)
        _measure_path(out, followed, starts, marks)
        _measure_moments(out, followed, starts, marks)
        _measure_hashes(out, followed, starts)
    return out


class Measurer:
    """Measures clips as they are read, many at a time.

    Args:
        skeleton: Skeleton of the clips.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._marks = Landmarks(skeleton)
        self._waiting: list[np.ndarray] = []
        self._num_bytes = 0
        self._keys: list[Hashable] = []
        self._figures: list[np.ndarray] = []

    def add(self, key: Hashable, clip: np.ndarray) -> None:
        """Measure a canonical clip, float16 or float32 (T, V, 4), not empty, under a key that finds its figures."""
        self._keys.append(key)
        self._waiting.append(clip)
        self._num_bytes += clip.nbytes
        if len(self._waiting) == _BATCH_CLIPS or self._num_bytes > _BATCH_BYTES:
            self._measure()

    def _measure(self) -> None:
        if self._waiting:
            self._figures.append(measure_clips(self._waiting, self._marks))
            self._waiting, self._num_bytes = [], 0

    def figures(self, keys: Sequence[Hashable]) -> np.ndarray:
        """Return a row of `FIGURES` per key: those of the first clip with it, and zeros if there is none."""
        self._measure()
        out = np.zeros(len(keys), FIGURES)
        rows: dict[Hashable, int] = {}
        for row, key in enumerate(self._keys):
            rows.setdefault(key, row)
        known = [number for number, key in enumerate(keys) if key in rows]
        if known:
            out[known] = np.concatenate(self._figures)[[rows[keys[number]] for number in known]]
        return out


@dataclass(frozen=True)
class Points:
    """Points of many clips, one contiguous array per coordinate, (rows, points); zeros where missing."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    seen: np.ndarray

    @classmethod
    def gather(cls, clips: Sequence[np.ndarray]) -> Points:
        """Join clips (T, V, 4) one after the other."""
        joined = np.concatenate(clips)
        x, y, z, score = (np.ascontiguousarray(joined[..., axis], np.float32) for axis in range(4))
        return cls(x, y, z, score > 0)


def _largest(clip: np.ndarray) -> float:
    """Return the largest absolute value. The bits of a float ascend with its value, and as integers are compared faster."""
    size = clip.dtype.itemsize
    bits = np.ascontiguousarray(clip).view(f"i{size}")
    values = np.array([max(bits.max(), 0), bits.view(f"u{size}").max()], f"u{size}").view(clip.dtype)
    return float(np.abs(values).max())


def _distance(points: Points, a: int | slice | np.ndarray, b: int | slice | np.ndarray) -> np.ndarray:
    """Return the distances of points, NaN where one is missing."""
    length = np.sqrt(np.square(points.x[:, a] - points.x[:, b]) + np.square(points.y[:, a] - points.y[:, b]))
    return np.where(points.seen[:, a] & points.seen[:, b], length, np.float32(np.nan))


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of the values that are not NaN, NaN if there are none."""
    known = values == values
    return np.where(known, values, np.float32(0)).sum(-1) / known.sum(-1)


def _measure_body(out: np.ndarray, points: Points, marks: Landmarks) -> None:
    """Measure size, position and attitude of the body."""
    shape = (len(out), -1)
    seen = points.seen.reshape(shape)
    count = seen.sum(-1)
    for axis, values in enumerate((points.x, points.y, points.z)):
        values = values.reshape(shape)
        low = np.where(seen, values, np.float32(np.inf)).min(-1)
        out["extent"][:, axis] = np.where(seen, values, np.float32(-np.inf)).max(-1) - low
    x, y = points.x.reshape(shape), points.y.reshape(shape)
    middle = np.stack([x.sum(-1) / count, y.sum(-1) / count], -1)
    spread = np.sqrt(((x * x + y * y).sum(-1) / count - np.square(middle).sum(-1)).clip(0))

    def mean_of(name: str) -> np.ndarray:
        """Return the mean position of a point, (N, 2)."""
        position = marks.find_sampled(name)
        if position is None:
            return np.full((len(out), 2), np.nan, np.float32)
        column = np.stack([points.x[:, position], points.y[:, position]])
        column[:, ~points.seen[:, position]] = np.nan
        return _mean(column.reshape(2, len(out), NUM_FRAMES)).T

    left, right = mean_of("left_shoulder"), mean_of("right_shoulder")
    width = np.hypot(*(left - right).T)
    has_width = width > 0
    scale = out["scale"] = np.where(has_width, width, spread)
    out["center"] = np.where(has_width[:, None], (left + right) / 2, middle)
    out["shoulders"] = (left - right) / scale[:, None]
    head, chin = mean_of(marks.head), mean_of(marks.chin)
    out["head"] = np.where(has_width, (out["center"] - head)[:, 1] / scale, np.nan)
    out["face"] = (chin - head)[:, 1] / scale


def _measure_groups(out: np.ndarray, points: Points, marks: Landmarks) -> None:
    """Measure presence and bones of each group."""
    out["bones"] = np.nan
    for number, group in enumerate(marks.groups[: out["groups"].shape[1]]):
        part = group.part
        seen = points.seen[:, part]
        count = seen.sum(-1)
        out["groups"][:, number] = (count > 0).reshape(len(out), -1).mean(-1)
        if not len(group.bones) or number >= out["bones"].shape[1]:
            continue
        x, y = points.x[:, part], points.y[:, part]
        mean_x, mean_y = x.sum(-1) / count, y.sum(-1) / count
        spread = np.sqrt(((x * x + y * y).sum(-1) / count - mean_x**2 - mean_y**2).clip(0))
        length = _mean(_distance(points, *group.bones.T))
        out["bones"][:, number] = _mean((length / spread).reshape(len(out), -1))


def _measure_frames(out: np.ndarray, points: Points, starts: np.ndarray) -> None:
    """Measure empty and equal frames."""
    has_points = np.asarray(points.seen.any(-1))
    equal = np.zeros(len(has_points), bool)
    same = (points.x[1:] == points.x[:-1]) & (points.y[1:] == points.y[:-1])
    equal[1:] = same.all(-1) & has_points[1:]
    equal[starts] = False
    out["empty"] = 1 - np.add.reduceat(has_points, starts, dtype=np.int32) / out["num_frames"]
    out["equal"] = np.add.reduceat(equal, starts, dtype=np.int32) / np.maximum(out["num_frames"] - 1, 1)


def _measure_hands(out: np.ndarray, points: Points, starts: np.ndarray, marks: Landmarks) -> None:
    """Measure the presence of hands and the arms that they are at."""
    out["apart"] = out["hands_apart"] = out["seen"] = np.nan
    scale = np.repeat(out["scale"], out["num_frames"])
    nearest = []
    for number, side in enumerate(SIDES):
        hand = marks.hand(side)
        if not hand:
            continue
        seen = points.seen[:, hand].any(-1)
        out["seen"][:, number] = np.add.reduceat(seen, starts, dtype=np.int32) / out["num_frames"]
        names = (f"{side}_hand_wrist", f"{side}_wrist", f"{mirror_name(side)}_wrist")
        found = [position for name in names if (position := marks.find(name)) is not None]
        if len(found) < len(names):
            continue
        wrist, arm, other_arm = found
        own, other = _distance(points, wrist, arm), _distance(points, wrist, other_arm)
        judged = (own == own) & (_distance(points, arm, other_arm) > MIN_WRIST_DISTANCE * scale)
        judged &= other == other
        out["judged"][:, number] = np.add.reduceat(judged, starts, dtype=np.int32)
        out["own"][:, number] = np.add.reduceat(judged & (own < other), starts, dtype=np.int32)
        nearest.append(np.fmin(own, other) / scale)
    if nearest:
        out["apart"] = _reduce_mean(np.fmax.reduce(nearest), starts)
    wrists = [position for side in SIDES if (position := marks.find(f"{side}_hand_wrist")) is not None]
    if len(wrists) == len(SIDES):
        out["hands_apart"] = _reduce_mean(_distance(points, *wrists) / scale, starts)


def _measure_motion(out: np.ndarray, points: Points, starts: np.ndarray, marks: Landmarks) -> None:
    """Measure the motion of the wrists, or of some points if the skeleton has none."""
    names = [f"{side}{part}" for part in ("_hand_wrist", "_wrist") for side in SIDES]
    columns = [column for name in names if (column := marks.find(name)) is not None] or [0]
    position = points.x[:, columns] + 1j * points.y[:, columns]  # complex, so that a step is a difference
    seen = points.seen[:, columns]
    count = np.maximum(np.add.reduceat(seen, starts, dtype=np.int32), 1)
    mean = np.add.reduceat(position, starts) / count
    offset = np.where(seen, position - np.repeat(mean, out["num_frames"], axis=0), 0)
    square = np.square(offset.real) + np.square(offset.imag)
    travel = np.sqrt((np.add.reduceat(square, starts) / count).max(-1))  # of the point that moves most
    position[~seen] = np.nan
    step = _mean_step(position, starts)
    restored = []
    spans = list(zip(starts.tolist(), out["num_frames"].tolist(), strict=True))
    for first in (0, 1):
        order = np.concatenate([start + _undo_alphabet(length, first) for start, length in spans])
        restored.append(_mean_step(position[order], starts))
    out["travel"], out["step"], out["unsorted"] = travel / out["scale"], step / travel, np.fmin(*restored) / step
    everything = np.where(points.seen, points.x + 1j * points.y, np.nan)
    out["smooth"] = _mean_step(everything, starts, mean=True) / _mean_step(everything, starts, lag=_LAG, mean=True)


def _mean_step(position: np.ndarray, starts: np.ndarray, *, lag: int = 1, mean: bool = False) -> np.ndarray:
    """Return the mean over frames of the largest, or mean, distance of a point from where it was `lag` frames before."""
    steps = np.full(len(position), np.nan, np.float32)
    distances = np.abs(position[lag:] - position[:-lag])
    steps[lag:] = _mean(distances) if mean else np.fmax.reduce(distances, axis=-1)
    for first in range(lag):
        steps[np.minimum(starts + first, len(steps) - 1)] = np.nan
    return _reduce_mean(steps, starts)


def _measure_hashes(out: np.ndarray, points: Points, starts: np.ndarray) -> None:
    """Hash the frames, and keep the smallest hash of a clip for each of several functions (min-hashing).

    Source: Broder 1997, On the resemblance and containment of documents.
    """
    bits = points.x.view(np.uint32).astype(np.uint64) << np.uint64(32) | points.y.view(np.uint32)
    frames = (bits * (2 * np.arange(bits.shape[1], dtype=np.uint64) + 1) * _FACTORS[0]).sum(-1)
    unknown = points.seen.sum(-1) < _MIN_HASHED
    for number, factor in enumerate(_FACTORS):
        mixed = (frames ^ frames >> np.uint64(29)) * factor
        mixed ^= mixed >> np.uint64(32)
        mixed[unknown] = NO_HASH
        out["hashes"][:, number] = np.minimum.reduceat(mixed, starts)


@lru_cache(maxsize=1024)
def _undo_alphabet(length: int, first: int) -> np.ndarray:
    """Return the order that restores frames which were sorted by numbers from `first` on without leading zeros.

    Example:
        >>> _undo_alphabet(12, 0).tolist()  # of 0, 1, 10, 11, 2, 3, ...
        [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
    """
    return np.argsort(np.argsort([str(number) for number in range(first, first + length)]))


def _measure_path(out: np.ndarray, points: Points, starts: np.ndarray, marks: Landmarks) -> None:
    """Sample the positions of arms and hands at equal times."""
    times = (np.arange(NUM_TIMES) * 2 + 1) / (2 * NUM_TIMES)
    frames = starts[:, None] + (out["num_frames"][:, None] * times).astype(np.intp)
    found, columns = marks.path
    chosen = frames[..., None], np.array(columns)
    path = np.zeros((len(out), NUM_TIMES, len(PATH_POINTS), 2), np.float32)
    for axis, values in enumerate((points.x, points.y)):
        relative = (values[chosen] - out["center"][:, axis, None, None]) / out["scale"][:, None, None]
        path[:, :, found, axis] = np.where(points.seen[chosen], relative, 0).clip(-8, 8)
    out["path"] = path.reshape(len(out), -1)


def _measure_moments(out: np.ndarray, points: Points, starts: np.ndarray, marks: Landmarks) -> None:
    """Measure where arms and hands are and how much they move, which changes little if a few frames are cut off."""
    found, columns = marks.path
    seen = points.seen[:, columns]
    count = np.maximum(np.add.reduceat(seen, starts, dtype=np.int32), 1)
    moments = np.zeros((len(out), 4, len(PATH_POINTS)), np.float32)
    is_known = np.logical_or.reduceat(seen, starts)
    for axis, values in enumerate((points.x[:, columns], points.y[:, columns])):
        mean = np.add.reduceat(values, starts) / count
        square = np.add.reduceat(np.square(np.where(seen, values - np.repeat(mean, out["num_frames"], 0), 0)), starts)
        moments[:, axis, found] = np.where(is_known, mean - out["center"][:, axis, None], 0)
        moments[:, axis + 2, found] = np.sqrt(square / count)
    out["moments"] = np.nan_to_num((moments / out["scale"][:, None, None]).clip(-8, 8).reshape(len(out), -1))


def _reduce_mean(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the mean of the known values of each clip, NaN if it has none."""
    known = values == values
    return np.add.reduceat(np.where(known, values, 0), starts) / np.add.reduceat(known, starts, dtype=np.int32)
