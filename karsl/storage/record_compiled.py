"""The usual case of `canonical_clip`, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fill_canonical(raw, clip):
    """Fill `clip` (T, V, 4) from `raw` (T, V, 3 or 4), both float32; False if a value may be NaN or infinite."""
    plain = True
    for t in range(raw.shape[0]):
        for v in range(raw.shape[1]):
            x, y, z = raw[t, v, 0], raw[t, v, 1], raw[t, v, 2]
            score = raw[t, v, 3] if raw.shape[2] == 4 else np.float32(1)
            plain &= np.isfinite(x + y + z + score)  # a sum that only grows too large is looked at again by the caller
            present = x != 0 or y != 0 or z != 0
            score = min(score, np.float32(1)) if score > 0 else np.float32(1)
            clip[t, v, 0] = x if present else np.float32(0)
            clip[t, v, 1] = y if present else np.float32(0)
            clip[t, v, 2] = z if present else np.float32(0)
            clip[t, v, 3] = score if present else np.float32(0)
    return plain
