"""Missing keypoints of other detectors: NaN and infinity, and coordinates that mark a point without a position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karsl.errors import ConfigError, did_you_mean

NONFINITE = ("raise", "missing")
MARKERS = {"minus_one": -1.0, "zero_xy": 0.0}
"""Conventions by name: the value of x and y of a missing point. `zero_xy` matters where z is not 0."""
_MIN_POINTS = 2  # a frame with as many points at one place has a marker


@dataclass(frozen=True)
class MissingPoints:
    """Rules that say which points of a file are missing, besides those at exactly (0, 0, 0).

    Args:
        nonfinite: `'raise'` on NaN or infinity, or `'missing'` to treat these points as missing.
        markers: Names in `MARKERS`.

    Raises:
        ConfigError: If a name is unknown.

    Example:
        >>> rules = MissingPoints("missing", ("minus_one",))
        >>> rules.clear(np.array([[0.5, np.nan, 1], [-1, -1, 0.3], [-1, 0.5, 0]])).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.5, 0.0]]
    """

    nonfinite: str = "raise"
    markers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = [("nonfinite", self.nonfinite, NONFINITE)] if self.nonfinite not in NONFINITE else []
        for name, value, known in [*wrong, *(("missing", m, MARKERS) for m in self.markers if m not in MARKERS)]:
            hint = did_you_mean(str(value), known, f"expected {' or '.join(map(repr, known))}")
            raise ConfigError(f"{name}={value!r}{hint}")

    def clear(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., C of x, y and more) with all values of missing points 0; the same array if there are none."""
        if self == STRICT:
            return points
        missing = np.zeros(points.shape[:-1], bool)
        if self.nonfinite == "missing":
            missing |= ~np.isfinite(points).all(-1)
        for name in self.markers:
            missing |= (points[..., :2] == MARKERS[name]).all(-1)
        return np.where(missing[..., None], points.dtype.type(0), points) if missing.any() else points


STRICT = MissingPoints()
"""The default: NaN and infinity are errors, and no coordinates are markers."""


def likely_marker(clip: np.ndarray) -> str | None:
    """Return the convention in `MARKERS` that a clip seems to have, or None.

    Detected points never share both coordinates exactly. Two or more present points of a frame that do, at one place that is
    (0, 0) or negative, are a marker, also after a division of pixels by the size of the image.

    Args:
        clip: Canonical clip, (T, V, 4).

    Example:
        >>> marked = np.array([[[-1, -1, 0, 1], [-1, -1, 0, 1], [0.4, 0.5, 0, 1]]])
        >>> likely_marker(marked), likely_marker(marked[:, 1:])
        ('minus_one', None)
    """
    xy, present = clip[..., :2], clip[..., 3] > 0
    negative = present & (xy < 0).all(-1)
    if negative.any():
        first = xy[negative][0]
        if (negative.sum(1).max() >= _MIN_POINTS) and (xy[negative] == first).all():
            return "minus_one"
    at_zero = present & (xy == 0).all(-1)
    return "zero_xy" if at_zero.sum(1).max(initial=0) >= _MIN_POINTS else None


def marker_note(marker: str, clip_id: str) -> str:
    """Return the note on a clip that seems to have a marker of missing points."""
    place = "(0, 0)" if marker == "zero_xy" else "one negative place, such as (-1, -1)"
    return f"several points of a frame are at {place}, e.g. in clip {clip_id!r}; if they are missing, use --missing {marker}"
