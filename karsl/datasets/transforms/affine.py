"""Affines as rows of seven numbers: m00 m01 m10 m11 dx dy of the picture plane, and the scale of z."""

from __future__ import annotations

import numpy as np


def similarity(scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """float64 (N, 1, 7) of `x * scale + offset`, scale (N,), offset (N, 2)."""
    affine = identity(len(scale), 1)
    affine[:, 0, 0] = affine[:, 0, 3] = affine[:, 0, 6] = scale
    affine[:, 0, 4:6] = offset
    return affine


def identity(n: int, groups: int) -> np.ndarray:
    """float64 (N, G, 7) that change nothing."""
    affine = np.zeros((n, groups, 7))
    affine[..., (0, 3, 6)] = 1
    return affine


def compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """float64 (N, G, 7) of `before` and then `after`; either may have G = 1."""
    a, b = after, before
    return np.stack(
        [
            a[..., 0] * b[..., 0] + a[..., 1] * b[..., 2],
            a[..., 0] * b[..., 1] + a[..., 1] * b[..., 3],
            a[..., 2] * b[..., 0] + a[..., 3] * b[..., 2],
            a[..., 2] * b[..., 1] + a[..., 3] * b[..., 3],
            a[..., 0] * b[..., 4] + a[..., 1] * b[..., 5] + a[..., 4],
            a[..., 2] * b[..., 4] + a[..., 3] * b[..., 5] + a[..., 5],
            a[..., 6] * b[..., 6],
        ],
        axis=-1,
    )
