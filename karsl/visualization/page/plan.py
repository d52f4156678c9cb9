"""A stage told by how it follows from another: which frames, which points, one affine map a group.

Sampling, flipping, affine maps, selecting, centring and dropping all are of this form. Nothing is asked of the steps: the
map is found from the points and taken only where it gives them back, so a step of any kind, a wrong one too, is shown as
it left the points.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from karsl.skeletons import Skeleton, mirror_name
from karsl.visualization.page.clip import PageStage
from karsl.visualization.page.quantise import LEVELS, deflated, packed_bits, scale_of

_PARTED = 0.05  # of the points' extent: one affine map for all groups misses by more


def plan_from(source: PageStage, target: PageStage) -> dict[str, Any] | None:
    """How `target` follows from `source`, to within one level of what quantising keeps; None where it does not.

    Returns:
        `sampled`: whether frames were taken from `source` at the target's `frame_inds`;
        `pick`: point of `source` for each point, `"mirror"` for its mirror, or None for the same;
        `affine`: six numbers a group, x' = a x + b y + c and y' = d x + e y + f;
        `seen`: bits of the points that are there (deflated, base64), or None where all are that follow;
        `parted`: whether groups went different ways, so that they no longer lie as on a body.
    """
    at = _positions(source, target)
    if at is None and len(source.points) != len(target.points):
        return None
    moved = gather(source.points[..., :2], at)
    points = np.asarray(target.points, dtype=np.float64)[..., :2]
    step = scale_of(points)[1]
    for pick in _picks(source.skeleton, target.skeleton):
        found = _affine(moved[:, pick], points, target, step)
        if found is not None:
            return {"sampled": at is not None, "pick": _short(pick, source.skeleton, target.skeleton), **found}
    return None


def gather(points: np.ndarray, at: np.ndarray | None) -> np.ndarray:
    """Frames at fractional positions; where one of the two neighbours misses a point, the other is taken.

    Example:
        >>> gather(np.array([[[0.0]], [[2.0]], [[np.nan]]]), np.array([0.5, 1.5])).ravel().tolist()
        [1.0, 2.0]
    """
    if at is None:
        return points
    at = np.clip(at, 0, len(points) - 1)
    low = np.floor(at).astype(np.int64)
    first, second = points[low], points[np.minimum(low + 1, len(points) - 1)]
    weight = (at - low)[:, None, None]
    blend = np.where(weight == 0, first, first * (1 - weight) + second * weight)
    return np.where(np.isnan(blend), np.where(np.isnan(first), np.where(weight == 0, np.nan, second), first), blend)


def _positions(source: PageStage, target: PageStage) -> np.ndarray | None:
    inds = target.frame_inds
    if inds is None or source.frame_inds is not None or len(inds) != len(target.points) or not np.isfinite(inds).all():
        return None
    return np.round(np.asarray(inds, dtype=np.float64), 4)  # as they are written


def _short(pick: np.ndarray, source: Skeleton, target: Skeleton) -> list[int] | str | None:
    if source != target:
        return pick.tolist()
    return None if pick is _picks(source, target)[0] else "mirror"


@lru_cache(maxsize=64)
def _picks(source: Skeleton, target: Skeleton) -> list[np.ndarray]:
    """Candidates for where each point comes from: itself, or its mirror."""
    place = {name: k for k, name in enumerate(source.names)}
    both = (target.names, [mirror_name(name) for name in target.names])
    picks = ([place.get(name, -1) for name in names] for names in both)
    return [np.array(pick) for pick in picks if min(pick, default=-1) >= 0]


def _affine(before: np.ndarray, after: np.ndarray, target: PageStage, step: float) -> dict[str, Any] | None:
    had, has = np.isfinite(before[..., 0]), np.isfinite(after[..., 0])
    if (has & ~had).any():
        return None
    rows = []
    for part in target.skeleton.groups.values():
        told = has[:, part]
        start, end = before[:, part][told], after[:, part][told]
        found = _fit(start, end, step)
        if found is None:
            return None
        rows.append([float(f"{v:.7g}") for v in found.T.ravel()])
    some = has & (np.arange(has.size).reshape(has.shape) % 7 == 0)
    one_for_all = _fit(before[some], after[some], _PARTED * step * LEVELS)
    seen = None if (had == has).all() else deflated(packed_bits(has))
    return {"affine": rows, "seen": seen, "parted": one_for_all is None}


def _fit(start: np.ndarray, end: np.ndarray, step: float) -> np.ndarray | None:
    """The (3, 2) matrix that takes (x, y, 1) to where the points are, or None if none does."""
    if not len(start):
        return np.array([[1.0, 0], [0, 1], [0, 0]])
    filled = np.column_stack([start, np.ones(len(start))])
    few = slice(None, None, max(1, len(filled) // 400))  # enough to find it; all are asked whether it holds
    matrix = np.linalg.lstsq(filled[few], end[few], rcond=None)[0]
    return matrix if np.abs(filled @ matrix - end).max() <= step else None
