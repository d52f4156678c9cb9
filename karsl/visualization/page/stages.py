"""Points of a stage, quantized, or encoded as frames, points and one affine map per group of an earlier stage.

Quantized points have 12 bits per coordinate. The page decodes them (`assets/js/decode.js`): base64, inflate, two planes of
bytes to uint16, zigzag, cumulative sum over frames, then `low + value * step`. The bits after the planes mark the present
points.

Sampling, flips, affine maps, selection, centering and dropout all are affine maps of an earlier stage. The maps are found
from the points alone, and used only if they reproduce them, so that a transform of any kind is shown as it left the points.
"""

from __future__ import annotations

import base64
import zlib
from functools import lru_cache
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton, mirror_name
from karsl.visualization.page.clip import PageStage

LEVELS = 4095  # a quarter of a pixel for a body in a panel of 900 pixels
_MAX_ERROR = 0.05  # share of the points' extent; above, one affine map does not fit all groups
_FIT_POINTS = 400


def quantize(points: np.ndarray) -> dict[str, Any]:
    """Encode points (T, V, 2) with NaN where missing.

    Returns:
        `low` (2 floats), `step` (size of one level, in the unit of the points), `data` (base64 of a raw deflate stream).

    Example:
        >>> quantize(np.array([[[0.0, 0.0]], [[8.19, 4.0]]]))["step"]
        0.002
    """
    seen = np.isfinite(points).all(-1)
    low, step = quantization_scale(points)
    levels = np.zeros(points.shape, dtype=np.int64)
    levels[seen] = np.rint((points[seen] - low) / step)
    deltas = np.diff(_fill_previous(levels, seen), axis=0, prepend=0)
    zigzag = ((deltas << 1) ^ (deltas >> 63)).astype("<u2")
    planes = np.frombuffer(zigzag.tobytes(), np.uint8).reshape(-1, 2).T.tobytes()
    return {"low": [float(v) for v in low], "step": step, "data": _deflate(planes + _pack_bits(seen))}


def quantization_scale(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the smallest x and y, and the size of one level; zeros and 1 without points."""
    flat = points.reshape(-1, 2)
    low, high = np.fmin.reduce(flat), np.fmax.reduce(flat)
    if not np.isfinite(low).all():
        return np.zeros(2), 1.0
    return low, float((high - low).max()) / LEVELS or 1.0


def affine_between(source: PageStage, target: PageStage) -> dict[str, Any] | None:
    """Find affine maps that give `target` from `source`, exact to one quantization level; None if there are none.

    Returns:
        `sampled`: True if frames were sampled from `source` at the target's `frame_inds`;
        `pick`: point of `source` for each point, `"mirror"` for its mirror, or None for the same;
        `affine`: six numbers per group, x' = a x + b y + c and y' = d x + e y + f;
        `seen`: bits of the present points (deflated, base64), or None if no point was dropped;
        `detaches`: True if the groups moved apart, so that they no longer form a body.
    """
    inds = _frame_positions(source, target)
    if inds is None and len(source.points) != len(target.points):
        return None
    sampled = gather(source.points[..., :2], inds)
    points = np.asarray(target.points, dtype=np.float64)[..., :2]
    step = quantization_scale(points)[1]
    for pick in _candidate_picks(source.skeleton, target.skeleton):
        maps = _fit_groups(sampled[:, pick], points, target, step)
        if maps is not None:
            return {"sampled": inds is not None, "pick": _encode_pick(pick, source.skeleton, target.skeleton), **maps}
    return None


def gather(points: np.ndarray, inds: np.ndarray | None) -> np.ndarray:
    """Interpolate frames at fractional positions. If a point is missing in one of the two frames, the other is used.

    Example:
        >>> gather(np.array([[[0.0]], [[2.0]], [[np.nan]]]), np.array([0.5, 1.5])).ravel().tolist()
        [1.0, 2.0]
    """
    if inds is None:
        return points
    inds = np.clip(inds, 0, len(points) - 1)
    low = np.floor(inds).astype(np.int64)
    first, second = points[low], points[np.minimum(low + 1, len(points) - 1)]
    weight = (inds - low)[:, None, None]
    blend = np.where(weight == 0, first, first * (1 - weight) + second * weight)
    return np.where(np.isnan(blend), np.where(np.isnan(first), np.where(weight == 0, np.nan, second), first), blend)


def _fill_previous(levels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Repeat the previous value of a missing point, so that its differences are zero."""
    last = np.where(seen, np.arange(len(seen))[:, None], 0)
    return np.take_along_axis(levels, np.maximum.accumulate(last, axis=0)[..., None], axis=0)


def _pack_bits(seen: np.ndarray) -> bytes:
    """Pack bool (T, V) into bits, the first one in the highest bit of the first byte."""
    return np.packbits(seen).tobytes()


def _deflate(raw: bytes) -> str:
    """Return a raw deflate stream in base64."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return base64.b64encode(compressor.compress(raw) + compressor.flush()).decode("ascii")


def _frame_positions(source: PageStage, target: PageStage) -> np.ndarray | None:
    inds = target.frame_inds
    if inds is None or source.frame_inds is not None or len(inds) != len(target.points) or not np.isfinite(inds).all():
        return None
    return np.round(np.asarray(inds, dtype=np.float64), 4)  # as they are encoded


def _encode_pick(pick: np.ndarray, source: Skeleton, target: Skeleton) -> list[int] | str | None:
    if source != target:
        return pick.tolist()
    return None if pick is _candidate_picks(source, target)[0] else "mirror"


@lru_cache(maxsize=64)
def _candidate_picks(source: Skeleton, target: Skeleton) -> list[np.ndarray]:
    """Return the source of each point: the point of its name, or of its mirror name."""
    index = {name: k for k, name in enumerate(source.names)}
    candidates = (target.names, [mirror_name(name) for name in target.names])
    picks = ([index.get(name, -1) for name in names] for names in candidates)
    return [np.array(pick) for pick in picks if min(pick, default=-1) >= 0]


def _fit_groups(before: np.ndarray, after: np.ndarray, target: PageStage, step: float) -> dict[str, Any] | None:
    seen_before, seen_after = np.isfinite(before[..., 0]), np.isfinite(after[..., 0])
    if (seen_after & ~seen_before).any():
        return None
    rows = []
    for part in target.skeleton.groups.values():
        seen = seen_after[:, part]
        matrix = _fit_affine(before[:, part][seen], after[:, part][seen], step)
        if matrix is None:
            return None
        rows.append([float(f"{v:.7g}") for v in matrix.T.ravel()])
    subset = seen_after & (np.arange(seen_after.size).reshape(seen_after.shape) % 7 == 0)
    shared = _fit_affine(before[subset], after[subset], _MAX_ERROR * step * LEVELS)
    bits = None if (seen_before == seen_after).all() else _deflate(_pack_bits(seen_after))
    return {"affine": rows, "seen": bits, "detaches": shared is None}


def _fit_affine(before: np.ndarray, after: np.ndarray, tolerance: float) -> np.ndarray | None:
    """Return the (3, 2) matrix that maps (x, y, 1) to the points after, or None if none is within the tolerance."""
    if not len(before):
        return np.array([[1.0, 0], [0, 1], [0, 0]])
    homogeneous = np.column_stack([before, np.ones(len(before))])
    subset = slice(None, None, max(1, len(homogeneous) // _FIT_POINTS))  # fitted to some, checked for all
    matrix = np.linalg.lstsq(homogeneous[subset], after[subset], rcond=None)[0]
    return matrix if np.abs(homogeneous @ matrix - after).max() <= tolerance else None
