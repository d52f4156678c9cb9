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
    affine[..., 0] = affine[..., 3] = affine[..., 6] = 1  # one place after the other is ten times as fast as a list of them
    return affine
