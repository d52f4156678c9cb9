"""Anchors and best detection of MediaPipe's single-shot detectors."""

from __future__ import annotations

import numpy as np

_MIN_SCORE, _MIN_OVERLAP = 0.5, 0.3


def anchor_centers(size: int, strides: tuple[int, ...], per_cell: int) -> np.ndarray:
    """Return the centers of the anchors in [0, 1], float32 (A, 2).

    Args:
        size: Side of the input in pixels.
        strides: Stride of each layer. Successive layers of equal stride share a grid.
        per_cell: Number of anchors per cell and layer.

    Example:
        >>> anchor_centers(224, (8, 16, 32, 32, 32), 2).shape, anchor_centers(128, (8, 16, 16, 16), 2).shape
        ((2254, 2), (896, 2))
    """
    centers = []
    for stride in sorted(set(strides)):
        cells = -(-size // stride)
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        centers.append(np.repeat(grid, strides.count(stride) * per_cell, axis=0))
    return np.concatenate(centers).astype(np.float32)


def best_keypoints(raw: np.ndarray, logits: np.ndarray, anchors: np.ndarray, size: int) -> np.ndarray | None:
    """Return the keypoints of the best detection, averaged over the detections that overlap it.

    Args:
        raw: (A, 4 + 2 k), box and keypoints relative to the anchors, in pixels.
        logits: (A,).
        anchors: (A, 2), see `anchor_centers`.
        size: Side of the input in pixels.

    Returns:
        (k, 2) in [0, 1] of the input, or None if no score is at least 0.5.
    """
    score = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -80, 80)))  # float32 overflows at 88
    keep = np.flatnonzero(score >= _MIN_SCORE)
    if not len(keep):
        return None
    keep = keep[np.argsort(-score[keep], kind="stable")]
    values, center, score = raw.reshape(len(anchors), -1)[keep] / size, anchors[keep], score[keep]
    middle, half = values[:, :2] + center, values[:, 2:4] / 2
    low, high = middle - half, middle + half
    inner = np.clip(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0, None).prod(1)
    area = (high - low).prod(1)
    weight = np.where(inner / (area + area[0] - inner) > _MIN_OVERLAP, score, 0)
    points = values[:, 4:].reshape(len(keep), -1, 2) + center[:, None]
    return (points * weight[:, None, None]).sum(0) / weight.sum()
