"""Clips in float16: half the bytes, and what is there stays there."""

from __future__ import annotations

import numpy as np

from karsl.errors import ConfigError

_LEAST = np.float16(2.0**-14)  # smallest normal float16
_LARGEST = 65504.0


def to_half(clip: np.ndarray, *, called: str, marked: bool) -> np.ndarray:
    """A canonical clip in float16; a point that is seen keeps a score above 0.

    Args:
        clip: (T, V, 4): x, y, z, score, of any float type; not edited.
        called: Names the clip in errors.
        marked: The form tells missing points by their score. Otherwise zeros do, and a point that would be rounded to them
            is moved beside the origin, by 0.00006.

    Raises:
        ConfigError: A value that float16 cannot hold.

    Example:
        >>> to_half(np.array([[[1e-9, 0, 0, 1e-9]]]), called="a", marked=True).tolist()
        [[[0.0, 0.0, 0.0, 6.103515625e-05]]]
        >>> to_half(np.array([[[1e-9, 0, 0, 1]]]), called="a", marked=False).tolist()
        [[[6.103515625e-05, 0.0, 0.0, 1.0]]]
    """
    largest = float(np.abs(clip).max())
    if largest > _LARGEST:
        raise ConfigError(
            f"clip {called!r} holds {largest:g}, float16 ends at {_LARGEST:g}; take dtype='float32' (--dtype float32)"
        )
    half = clip.astype("<f2")
    half[..., 3] = np.where(clip[..., 3] > 0, np.maximum(half[..., 3], _LEAST), np.float16(0))
    if not marked:
        half[..., 0][(half[..., 3] > 0) & (half[..., :3] == 0).all(-1)] = _LEAST
    return half
