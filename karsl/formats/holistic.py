"""Rows of numbers per frame, as many tools save MediaPipe's results: which columns are which group, with what in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.skeletons import Skeleton, get_skeleton
from karsl.storage.record import value_problem


@dataclass(frozen=True)
class ColumnLayout:
    """Columns of a frame: the groups of a skeleton one after the other, each point with 3 or 4 numbers.

    Args:
        skeleton: Name of the points in the order of the columns.
        with_score: Groups whose points are x, y, z, visibility; the others are x, y, z.

    Example:
        >>> ColumnLayout("holistic_543", ("pose",)).num_columns, ColumnLayout("msl_226", ("pose",)).num_columns
        (1662, 226)
    """

    skeleton: str
    with_score: tuple[str, ...] = ()

    @property
    def points(self) -> Skeleton:
        """The skeleton itself."""
        return get_skeleton(self.skeleton)

    @property
    def num_columns(self) -> int:
        """Numbers in a frame."""
        return sum((p.stop - p.start) * self._width(g) for g, p in self.points.groups.items())

    def _width(self, group: str) -> int:
        return 4 if group in self.with_score else 3

    def clip_of(self, rows: np.ndarray, *, where: str) -> np.ndarray:
        """The canonical clip of some frames.

        Args:
            rows: (T, columns).
            where: Names the clip in errors.

        Returns:
            float32 (T, V, 4); a point whose x, y and z are 0 is missing, scores that are not there are 1.

        Raises:
            CorruptRecordError: Another shape, or a value that is no number.
        """
        if rows.ndim != 2 or rows.shape[1] != self.num_columns or rows.dtype.kind not in "fiu" or not len(rows):
            raise CorruptRecordError(
                f"{where} holds {rows.dtype} {rows.shape}; expected numbers (frames, {self.num_columns})"
            )
        clip, start = np.zeros((len(rows), self.points.num_keypoints, 4), np.float32), 0
        for group, part in self.points.groups.items():
            width, count = self._width(group), part.stop - part.start
            values = rows[:, start : start + width * count].reshape(len(rows), count, width)
            clip[:, part, :width], start = values, start + width * count
        problem = value_problem(clip)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; re-export it")
        present, score = (clip[..., :3] != 0).any(-1), clip[..., 3]
        clip[..., 3] = np.where(present, np.where(score > 0, np.minimum(score, 1), 1), 0)
        return clip

    def rows_of(self, clip: np.ndarray) -> np.ndarray:
        """float32 (T, columns) of a canonical clip (T, V, 4); zeros where missing.

        Example:
            >>> layout = ColumnLayout("msl_226", ("pose",))
            >>> layout.rows_of(np.full((2, 67, 4), 0.5, np.float32)).shape
            (2, 226)
        """
        parts = [clip[:, part, : self._width(group)].reshape(len(clip), -1) for group, part in self.points.groups.items()]
        return np.concatenate(parts, axis=1).astype(np.float32, copy=False)

    def lost_scores(self, clip: np.ndarray) -> bool:
        """Whether points that have no column for it carry a score other than 1."""
        bare = [part for group, part in self.points.groups.items() if group not in self.with_score]
        scores = np.concatenate([clip[:, part, 3].reshape(-1) for part in bare])
        return bool(((scores != 0) & (scores != 1)).any())


HOLISTIC = ColumnLayout("holistic_543", ("pose",))
"""1662 columns: pose 33 x 4, face 468 x 3, left hand 21 x 3, right hand 21 x 3."""

MSL = ColumnLayout("msl_226", ("pose",))
"""226 columns: pose 25 x 4, left hand 21 x 3, right hand 21 x 3."""
