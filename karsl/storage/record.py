"""From a clip's raw array to keypoints and scores: one meaning of `missing` for everything downstream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from karsl.errors import CorruptRecordError


def shape_problem(shape: tuple[int, ...], dtype: np.dtype, num_keypoints: int) -> str | None:
    """Say why an array of this header cannot be a clip, or None if it can.

    Example:
        >>> shape_problem((0, 184, 4), np.dtype("float32"), 184)
        'has no frames, shape (0, 184, 4)'
        >>> shape_problem((30, 184, 4), np.dtype("float32"), 184)
    """
    if dtype.kind not in "fiu":
        return f"holds {dtype}, not numbers"
    if len(shape) != 3:
        return f"has shape {shape}; a clip is (frames, {num_keypoints}, 3 or 4)"
    if shape[0] == 0:
        return f"has no frames, shape {shape}"
    if shape[1] != num_keypoints:
        return f"has {shape[1]} keypoints, the skeleton {num_keypoints}, shape {shape}"
    if shape[2] not in (3, 4):
        return f"has {shape[2]} values a keypoint; x, y, z and maybe visibility are expected, shape {shape}"
    return None


def value_problem(raw: np.ndarray) -> str | None:
    """Say which values cannot be coordinates (NaN, infinity), or None."""
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(raw.astype(np.float32, copy=False))
    if not bad.any():
        return None
    frame, keypoint, _ = np.argwhere(bad)[0]
    return f"has {int(bad.sum())} values that are NaN or infinite, first in frame {frame}, keypoint {keypoint}"


def canonical_clip(
    raw: np.ndarray,
    *,
    where: str = "clip",
    nonfinite: str = "raise",
    fill: Callable[[np.ndarray, np.ndarray], bool] | None = None,
) -> np.ndarray:
    """One form for every store: x, y, z, score, where a missing point is four zeros.

    A keypoint is missing when x, y and z are all exactly 0, which is how MediaPipe exports write it. A present keypoint
    keeps its visibility as score, or gets 1 where the file has none or 0 (hands and face carry none in MediaPipe).

    Args:
        raw: (T, V, 3) x y z or (T, V, 4) x y z visibility, any number type.
        where: Names the clip in errors.
        nonfinite: `'raise'`, or `'missing'` to take NaN and infinite points as missing.
        fill: Compiled function that fills a clip (T, V, 4) from `raw`, or returns False where a value may not be finite;
            `karsl.datasets.batching.kernel.fill_canonical`. None uses NumPy, with the same result.

    Returns:
        float32 (T, V, 4), score in [0, 1].

    Raises:
        CorruptRecordError: NaN or infinity while `nonfinite='raise'`.
    """
    with np.errstate(over="ignore"):
        raw = np.ascontiguousarray(raw, np.float32)
    if fill is not None:
        clip = np.empty((*raw.shape[:2], 4), np.float32)
        if fill(raw, clip):
            return clip
    return _with_numpy(raw, where, nonfinite)


def _with_numpy(raw: np.ndarray, where: str, nonfinite: str) -> np.ndarray:
    clip = raw.copy() if raw.shape[-1] == 4 else np.concatenate([raw, np.ones_like(raw[..., :1])], axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        plain = np.isfinite(clip.sum())  # a sum is finite only where every value is, and is ten times as fast
    bits = clip.view(np.uint32)
    present = (bits[..., 0] | bits[..., 1] | bits[..., 2]) << 1 != 0  # the sign of a zero is shifted out
    if not plain:
        finite = np.isfinite(clip).all(-1)
        if not finite.all() and nonfinite == "raise":
            raise CorruptRecordError(
                f"{where} {value_problem(clip)}; re-export it, or LoadKeypoints(nonfinite='missing') drops those points"
            )
        present &= finite
    score = clip[..., 3]
    np.minimum(score, 1, out=score)
    unknown = ~(score > 0) & present
    if unknown.any():
        score[unknown] = 1
    if not present.all():
        clip[~present] = 0
    return clip


def split_clip(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and scores of a canonical clip.

    Returns:
        keypoint float32 (T, V, 3) with NaN where missing; score float32 (T, V) with 0 where missing.

    Example:
        >>> k, s = split_clip(canonical_clip(np.array([[[0.0, 0, 0, 0], [0.5, 0.25, 0, 0.75]]])))
        >>> k[0].tolist(), s[0].tolist()
        ([[nan, nan, nan], [0.5, 0.25, 0.0]], [0.0, 0.75])
    """
    score = clip[..., 3].astype(np.float32, copy=False)
    keypoint = np.where(score[..., None] > 0, clip[..., :3], np.float32(np.nan))
    return keypoint.astype(np.float32, copy=False), score
