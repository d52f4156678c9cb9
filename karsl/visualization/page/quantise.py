"""Points as small as a picture needs them: 12 bits a coordinate, differences over time, deflated, base64.

What the page undoes (`js/decode.js`): base64, inflate, two planes of bytes to uint16, zigzag, running sum over frames, then
`low + value * step`. The bits after the planes say which points are there.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

LEVELS = 4095  # the body in a panel of 900 pixels moves by a quarter of a pixel


def quantise(points: np.ndarray) -> dict[str, Any]:
    """Encode (T, V, 2) with NaN where missing.

    Returns:
        `low` (2 floats), `step` (of one level, in the points' unit), `data` (base64 of a raw deflate stream).

    Example:
        >>> quantise(np.array([[[0.0, 0.0]], [[8.19, 4.0]]]))["step"]
        0.002
    """
    seen = np.isfinite(points).all(-1)
    low, step = scale_of(points)
    levels = np.zeros(points.shape, dtype=np.int64)
    levels[seen] = np.rint((points[seen] - low) / step)
    steps = np.diff(_held(levels, seen), axis=0, prepend=0)
    zigzag = ((steps << 1) ^ (steps >> 63)).astype("<u2")
    planes = np.frombuffer(zigzag.tobytes(), np.uint8).reshape(-1, 2).T.tobytes()
    return {"low": [float(v) for v in low], "step": step, "data": deflated(planes + packed_bits(seen))}


def scale_of(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Smallest x and y, and the size of one level; zeros and 1 where nothing is seen."""
    flat = points.reshape(-1, 2)
    low, high = np.fmin.reduce(flat), np.fmax.reduce(flat)
    if not np.isfinite(low).all():
        return np.zeros(2), 1.0
    return low, float((high - low).max()) / LEVELS or 1.0


def packed_bits(seen: np.ndarray) -> bytes:
    """bool (T, V) as bits, the first in the highest bit of the first byte."""
    return np.packbits(seen).tobytes()


def deflated(raw: bytes) -> str:
    """A raw deflate stream in base64."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    return base64.b64encode(squeeze.compress(raw) + squeeze.flush()).decode("ascii")


def _held(levels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """A missing point keeps the value that it had last, so that its differences are zero."""
    last = np.where(seen, np.arange(len(seen))[:, None], 0)
    return np.take_along_axis(levels, np.maximum.accumulate(last, axis=0)[..., None], axis=0)
