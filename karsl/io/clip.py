"""The canonical clip: float (T, V, 4) with x, y, z and score, four zeros where a keypoint is missing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError

Fill = Callable[[np.ndarray, np.ndarray], bool]
_MIN_SCORE = np.float16(2.0**-14)  # smallest normal float16
_MAX_FLOAT16 = 65504.0


def shape_problem(shape: tuple[int, ...], dtype: np.dtype, num_keypoints: int) -> str | None:
    """Return why an array of this shape and dtype cannot be a clip, or None if it can.

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
        return f"has {shape[2]} values per keypoint; x, y, z and optionally visibility are expected, shape {shape}"
    return None


def value_problem(raw: np.ndarray) -> str | None:
    """Return how many values are NaN or infinite and where the first is, or None if all are finite."""
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(raw.astype(np.float32, copy=False))
    if not bad.any():
        return None
    frame, keypoint, _ = np.argwhere(bad)[0]
    return f"has {int(bad.sum())} values that are NaN or infinite, first in frame {frame}, keypoint {keypoint}"


def nonfinite_error(where: str, raw: np.ndarray) -> CorruptRecordError:
    """Return the error for a clip with values that are NaN or infinite."""
    return CorruptRecordError(
        f"{where} {value_problem(raw)}; re-export it, or LoadKeypoints(nonfinite='missing') drops those points"
    )


def canonical_clip(
    raw: np.ndarray, *, where: str = "clip", nonfinite: str = "raise", fill: Fill | None = None
) -> np.ndarray:
    """Convert the array of a file to the canonical clip.

    A keypoint is missing if x, y and z are all exactly 0, as in MediaPipe exports. A present keypoint keeps its visibility
    as score, or gets 1 where visibility is absent or 0 (MediaPipe has none for hands and face).

    Args:
        raw: (T, V, 3) x, y, z or (T, V, 4) x, y, z, visibility, any numeric dtype.
        where: Name of the clip in errors.
        nonfinite: `'raise'`, or `'missing'` to treat NaN and infinite keypoints as missing.
        fill: Compiled conversion `fill(raw, clip) -> bool` of float32 arrays; False if a value may not be finite. None
            uses NumPy.

    Returns:
        float32 (T, V, 4), score in [0, 1].

    Raises:
        CorruptRecordError: If there are NaN or infinite values and `nonfinite='raise'`.
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
        all_finite = np.isfinite(clip.sum())  # ten times faster than isfinite of each value; may be False by overflow
    bits = clip.view(np.uint32)
    present = (bits[..., 0] | bits[..., 1] | bits[..., 2]) << 1 != 0  # the shift drops the sign of a zero
    if not all_finite:
        finite = np.isfinite(clip).all(-1)
        if not finite.all() and nonfinite == "raise":
            raise nonfinite_error(where, clip)
        present &= finite
    score = clip[..., 3]
    np.minimum(score, 1, out=score)
    unknown = ~(score > 0) & present
    if unknown.any():
        score[unknown] = 1
    if not present.all():
        clip[~present] = 0
    return clip


def split_score(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a canonical clip into coordinates and scores.

    Returns:
        keypoint float32 (T, V, 3), NaN where missing, and score float32 (T, V), 0 where missing.

    Example:
        >>> k, s = split_score(canonical_clip(np.array([[[0.0, 0, 0, 0], [0.5, 0.25, 0, 0.75]]])))
        >>> k[0].tolist(), s[0].tolist()
        ([[nan, nan, nan], [0.5, 0.25, 0.0]], [0.0, 0.75])
    """
    score = clip[..., 3].astype(np.float32, copy=False)
    keypoint = np.where(score[..., None] > 0, clip[..., :3], np.float32(np.nan))
    return keypoint.astype(np.float32, copy=False), score


def to_float16(clip: np.ndarray, *, name: str, has_mask: bool) -> np.ndarray:
    """Convert a canonical clip to float16 so that no present keypoint becomes missing.

    Args:
        clip: (T, V, 4) x, y, z, score, any float dtype; not modified.
        name: Name of the clip in errors.
        has_mask: The target format marks missing keypoints by their score. Otherwise zeros mark them, and a present
            keypoint that would be rounded to zeros is moved by 0.00006.

    Raises:
        ConfigError: If a value exceeds the range of float16.

    Example:
        >>> to_float16(np.array([[[1e-9, 0, 0, 1e-9]]]), name="a", has_mask=True).tolist()
        [[[0.0, 0.0, 0.0, 6.103515625e-05]]]
        >>> to_float16(np.array([[[1e-9, 0, 0, 1]]]), name="a", has_mask=False).tolist()
        [[[6.103515625e-05, 0.0, 0.0, 1.0]]]
    """
    largest = float(np.abs(clip).max())
    if largest > _MAX_FLOAT16:
        raise ConfigError(
            f"clip {name!r} holds {largest:g}, float16 ends at {_MAX_FLOAT16:g}; take dtype='float32' (--dtype)"
        )
    half = clip.astype("<f2")
    half[..., 3] = np.where(clip[..., 3] > 0, np.maximum(half[..., 3], _MIN_SCORE), np.float16(0))
    if not has_mask:
        half[..., 0][(half[..., 3] > 0) & (half[..., :3] == 0).all(-1)] = _MIN_SCORE
    return half
