"""Rotated square crops of 8-bit pictures, with the arithmetic of OpenCV 3 and 4.

MediaPipe's networks were trained and are run on such crops: positions are rounded to 1/32 pixel, and values to integers.
OpenCV 5 interpolates in another way (7 % of the values differ, by up to 5 of 255), which moves a wrist by 0.1 to 0.5
pixels of 512. Own arithmetic does not depend on a version, and needs no OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np


@cache
def compiled_crop() -> Callable[..., None]:
    """Return `crop`, compiled if numba is installed, else `crop_numpy`, which gives the same bits in 20 times the time.

    Its arguments are those of `crop`.
    """
    try:
        import numba
    except ImportError:
        return crop_numpy
    return numba.njit(crop, cache=True, nogil=True)


def crop(image: np.ndarray, x: float, y: float, side: float, angle: float, low: float, zeros: bool, out: np.ndarray) -> None:
    """Cut one square out.

    Args:
        image: uint8 (height, width, 3).
        x, y, side, angle: Center, side and rotation of the square, in pixels and radians.
        low: Value of black in `out`; white is 1.
        zeros: Use black outside the picture. Otherwise its border is repeated.
        out: float32 (size, size, 3), written.
    """
    size, height, width = out.shape[0], image.shape[0], image.shape[1]
    c, s = math.cos(angle) * side / size, math.sin(angle) * side / size
    left, top = x - (c - s) * size / 2, y - (s + c) * size / 2
    gain, base = np.float32((1 - low) / 255), np.float32(low)
    for v in range(size):
        for u in range(size):
            at_x, at_y = int(round((left + c * u - s * v) * 32)), int(round((top + s * u + c * v) * 32))
            col, row, fx, fy = at_x >> 5, at_y >> 5, at_x & 31, at_y & 31
            inside = 0 <= col < width - 1 and 0 <= row < height - 1
            for channel in range(3):
                if inside:
                    a, b = int(image[row, col, channel]), int(image[row, col + 1, channel])
                    d, e = int(image[row + 1, col, channel]), int(image[row + 1, col + 1, channel])
                else:
                    r0, r1 = min(max(row, 0), height - 1), min(max(row + 1, 0), height - 1)
                    k0, k1 = min(max(col, 0), width - 1), min(max(col + 1, 0), width - 1)
                    a, b = int(image[r0, k0, channel]), int(image[r0, k1, channel])
                    d, e = int(image[r1, k0, channel]), int(image[r1, k1, channel])
                    if zeros:
                        a, b = a * (r0 == row) * (k0 == col), b * (r0 == row) * (k1 == col + 1)
                        d, e = d * (r1 == row + 1) * (k0 == col), e * (r1 == row + 1) * (k1 == col + 1)
                value = (a * (32 - fx) + b * fx) * (32 - fy) + (d * (32 - fx) + e * fx) * fy
                out[v, u, channel] = np.float32((value + 512) >> 10) * gain + base


def crop_numpy(
    image: np.ndarray, x: float, y: float, side: float, angle: float, low: float, zeros: bool, out: np.ndarray
) -> None:
    """Do the same as `crop` without a compiler."""
    size, (height, width) = len(out), image.shape[:2]
    c, s = math.cos(angle) * side / size, math.sin(angle) * side / size
    u, v = np.arange(size, dtype=np.float64)[None], np.arange(size, dtype=np.float64)[:, None]
    left, top = x - (c - s) * size / 2, y - (s + c) * size / 2
    at_x, at_y = (np.rint(p * 32).astype(np.int64) for p in (left + c * u - s * v, top + s * u + c * v))
    col, row, fx, fy = at_x >> 5, at_y >> 5, (at_x & 31)[..., None], (at_y & 31)[..., None]
    total = np.full((size, size, 1), 512, np.int64)
    for dy, wy in ((0, 32 - fy), (1, fy)):
        for dx, wx in ((0, 32 - fx), (1, fx)):
            r, k = row + dy, col + dx
            value = image[r.clip(0, height - 1), k.clip(0, width - 1)].astype(np.int64)
            if zeros:
                value *= ((r >= 0) & (r < height) & (k >= 0) & (k < width))[..., None]
            total = total + value * (wx * wy)
    out[:] = (total >> 10).astype(np.float32) * np.float32((1 - low) / 255) + np.float32(low)
