"""Rotated squares in pictures: cut out for a network, and the points that it found mapped back to the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from karsl.extract.crop import compiled_crop


@dataclass(frozen=True)
class Regions:
    """M rotated squares, in pixels.

    Args:
        image: int64 (M,), index of the picture.
        center: float64 (M, 2).
        side: float64 (M,).
        angle: float64 (M,), rotation in radians, clockwise, since y points down.
    """

    image: np.ndarray
    center: np.ndarray
    side: np.ndarray
    angle: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, keep: np.ndarray) -> Regions:
        return Regions(self.image[keep], self.center[keep], self.side[keep], self.angle[keep])

    def scale(self, factor: float, shift: float = 0.0) -> Regions:
        """Shift each square along its own y axis, in sides, then scale it about its center."""
        center = self.center + _down(self.angle) * (self.side * shift)[:, None]
        return Regions(self.image, center, self.side * factor, self.angle)

    def crop(
        self, images: np.ndarray, size: int, *, low: float = 0.0, zeros: bool = False, flip: bool = False
    ) -> np.ndarray:
        """Cut the squares out.

        Args:
            images: uint8 (N, height, width, 3).
            size: Side of the result in pixels.
            low: Value of black; white is 1.
            zeros: Fill the outside of the picture with black. By default its border is repeated.
            flip: Mirror the result.

        Returns:
            float32 (M, size, size, 3).
        """
        out = np.empty((len(self), size, size, 3), np.float32)
        crop = compiled_crop()
        for k, (image, (x, y), side, angle) in enumerate(zip(self.image, self.center, self.side, self.angle, strict=True)):
            crop(images[image], float(x), float(y), float(side), float(angle), low, zeros, out[k])
        return np.ascontiguousarray(out[:, :, ::-1]) if flip else out

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Map points (M, n, 2) in [0, 1] of the squares to pixels of the picture, float64 (M, n, 2)."""
        cos, sin = np.cos(self.angle)[:, None], np.sin(self.angle)[:, None]
        x, y = np.moveaxis((np.asarray(points, np.float64) - 0.5) * self.side[:, None, None], -1, 0)
        return np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1) + self.center[:, None]


def rotation(start: np.ndarray, end: np.ndarray, target: float) -> np.ndarray:
    """Return the rotation of each picture, float64 (M,) in [-pi, pi), in which `start` to `end` would point to `target`.

    Args:
        start, end: Points (M, 2) in pixels.
        target: Direction in degrees, counterclockwise from x.

    Example:
        >>> rotation(np.array([[0.0, 10.0]]), np.array([[0.0, 0.0]]), 90).tolist()
        [0.0]
    """
    angle = math.radians(target) - np.arctan2(start[:, 1] - end[:, 1], end[:, 0] - start[:, 0])
    return angle - 2 * math.pi * np.floor((angle + math.pi) / (2 * math.pi))


def around_points(image: np.ndarray, points: np.ndarray, angle: np.ndarray, *, shift: float = 0.0) -> Regions:
    """Return squares around the upright boxes of points, with the longer side of the box.

    Args:
        image: int64 (M,), index of the picture.
        points: (M, n, 2) in pixels.
        angle: float64 (M,), rotation of the squares.
        shift: Shift along the y axis of the square, in heights of the box.

    Example:
        >>> around_points(np.array([0]), np.array([[[0.0, 0.0], [10.0, 4.0]]]), np.zeros(1), shift=-0.5).center.tolist()
        [[5.0, 0.0]]
    """
    low, high = points.min(1), points.max(1)
    extent = high - low
    center = (low + high) / 2 + _down(angle) * (extent[:, 1] * shift)[:, None]
    return Regions(image, center, extent.max(1), angle)


def toward_point(image: np.ndarray, center: np.ndarray, end: np.ndarray, angle: np.ndarray) -> Regions:
    """Return squares around `center` (M, 2) whose sides are twice the distance to `end` (M, 2)."""
    return Regions(image, center, 2 * np.hypot(*(end - center).T), angle)


def _down(angle: np.ndarray) -> np.ndarray:
    """Return the y axis of squares, float64 (M, 2)."""
    return np.stack([-np.sin(angle), np.cos(angle)], axis=1)
