"""What waits for N clips of one length, as a few small arrays: enough for another device to do it from the raw frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

PREFIX = "plan_"
Array = Any  # of numpy where it is made, of torch where it is carried out


@dataclass(frozen=True)
class FramePlan:
    """Which frames to read, and what to do to their points; `karsl.models.frame_pass` does it with torch.

    Attributes:
        before: int64 (N, T), the frame at or before each position, a row of the store's frames.
        after: int64 (N, T), the one after it; the same row where nothing is blended. None if nothing is anywhere.
        weight: float32 (N, T), share of `after`; None with it.
        points: int64 (P, V), the stored point that each point comes from, -1 for none.
        row: int64 (N,), the row of `points` that a clip follows.
        affine: float32 (N, G, 7): m00 m01 m10 m11 dx dy, z scale.
        group: int64 (V,), the group of each point.
        hidden: bool (N, V), points taken away; None for none.
        hidden_frames: bool (N, T), frames without points; None for none.
        missing_is_zero: Whether missing points are blended as zeros.
        rest: float32 (N, T), share of `before` where `missing_is_zero`: what is left of a point that fades into zeros,
            which `1 - weight` has too few digits for. None otherwise.
    """

    before: Array
    after: Array
    weight: Array
    points: Array
    row: Array
    affine: Array
    group: Array
    hidden: Array
    hidden_frames: Array
    missing_is_zero: bool
    rest: Array = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that there are, under their keys in a batch."""
        found = {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}
        return {key: value for key, value in found.items() if isinstance(value, np.ndarray)}

    @classmethod
    def of_batch(cls, batch: Mapping, missing_is_zero: bool) -> FramePlan:
        """The plan of a batch that holds `arrays()`, arrays or tensors."""
        given: dict[str, Any] = {field.name: batch.get(PREFIX + field.name) for field in fields(cls)}
        return cls(**given | {"missing_is_zero": missing_is_zero})

    def used_frames(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The frames that are read, int64 (F,), each once, and `arrays()` in which rows are places in that list."""
        both = [self.before] if self.after is None else [self.before, self.after]
        used, places = np.unique(np.stack(both), return_inverse=True)
        places, found = places.reshape(len(both), *self.before.shape), self.arrays()
        found |= {PREFIX + "before": places[0]}
        return used, found if self.after is None else found | {PREFIX + "after": places[1]}


def frame_rows(
    positions: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """`before`, `after` and `weight` of float64 (N, T) positions inside clips of some starts and lengths, (N,).

    Example:
        >>> frame_rows(np.array([[0.0, 1.5, 2.0]]), np.array([10]), np.array([3]))
        (array([[10, 11, 12]]), array([[10, 12, 12]]), array([[0. , 0.5, 0. ]], dtype=float32))
    """
    whole = positions.astype(np.int64)
    weight = (positions - whole).astype(np.float32)
    before = starts[:, None] + whole
    if not weight.any():
        return before, None, None
    last = (starts + lengths - 1)[:, None]
    return before, np.where(weight > 0, np.minimum(before + 1, last), before), weight
