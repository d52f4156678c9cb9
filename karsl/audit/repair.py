"""Hands assigned to the arms at whose wrists they are."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from karsl.audit.hands import MIN_WRIST_DISTANCE
from karsl.errors import CorruptRecordError, SkeletonError, pluralize
from karsl.io.file_index import Progress
from karsl.io.sources import ClipSource
from karsl.skeletons import Skeleton
from karsl.skeletons.skeleton import mirror_name

EXCHANGED = "hands_exchanged"
"""Key of the number of frames with exchanged hands in records of clips that have any."""


class HandsByWrist(ClipSource):
    """The clips of another source with each hand at its own arm: hands are exchanged in frames where both fit better so.

    In a frame with one hand, it is moved to the other side if the wrist of the other arm is nearer. Frames with wrists
    close together, without the wrists of both arms, or with both hands at one arm, stay as they are. Every clip is read once
    to find the frames, so that records state what was changed: `hands_exchanged` is the number of frames.

    Args:
        source: Source of the clips.
        progress: `progress(records, total)` wraps the iteration over clips.

    Raises:
        SkeletonError: If the skeleton lacks the wrists of arms or hands.
    """

    def __init__(self, source: ClipSource, progress: Progress | None = None) -> None:
        self.source, self.skeleton = source, source.skeleton
        self.metainfo = {**source.metainfo, "hands": "by-wrist"}
        self.notes, self.problems = source.notes, source.problems
        self._points = HandPoints(source.skeleton)
        records = progress(source.records, len(source.records)) if progress else source.records
        self.records = [self._with_count(record) for record in records]

    def _with_count(self, record: dict) -> dict:
        try:
            count = int(self._points.find_exchanged(self.source.read_stored(record)).sum())
        except (CorruptRecordError, FileNotFoundError):
            return record  # reading it raises the error again
        return {**record, EXCHANGED: count} if count else record

    def read(self, record: dict) -> np.ndarray:
        """Return the canonical clip, float32 (T, V, 4)."""
        return self._repair(self.source.read(record), record)

    def read_stored(self, record: dict) -> np.ndarray:
        """Return the canonical clip in its stored dtype."""
        return self._repair(self.source.read_stored(record), record)

    def _repair(self, clip: np.ndarray, record: dict) -> np.ndarray:
        return self._points.exchange(clip, self._points.find_exchanged(clip)) if record.get(EXCHANGED) else clip

    def public_record(self, record: dict) -> dict:
        """Return the public keys of the wrapped source's record, and the number of changed frames."""
        changed = {EXCHANGED: record[EXCHANGED]} if EXCHANGED in record else {}
        return {**self.source.public_record(record), **changed}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the wrapped source, with a mark of the change."""
        return self.source.fingerprint and f"{self.source.fingerprint}-by-wrist"

    @property
    def summary(self) -> str:
        """Number of frames and clips that were changed, as text."""
        counts = [record[EXCHANGED] for record in self.records if EXCHANGED in record]
        clips = pluralize(len(self.records), "clip")
        return f"hands exchanged in {pluralize(sum(counts), 'frame')} of {len(counts)} of {clips}"


class HandPoints:
    """Points of hands and arms of a skeleton.

    Args:
        skeleton: The skeleton.

    Raises:
        SkeletonError: If it lacks the wrists of arms or hands.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        names = [f"{side}{part}" for part in ("_hand_wrist", "_wrist") for side in ("right", "left")]
        if not set(names) <= set(skeleton.names):
            missing = ", ".join(name for name in names if name not in skeleton.names)
            raise SkeletonError(f"skeleton {skeleton.name!r} has no {missing}; --hands by-wrist needs hands and arms")
        self._wrists = skeleton.indices(names)

    @cached_property
    def hands(self) -> tuple[np.ndarray, np.ndarray]:
        """int64, the points of the right hand and those of the left hand in the same order."""
        names = [name for name in self.skeleton.names if name.startswith("right_hand_")]
        names = [name for name in names if mirror_name(name) in self.skeleton.names]
        return self.skeleton.indices(names), self.skeleton.indices(map(mirror_name, names))

    def find_exchanged(self, clip: np.ndarray) -> np.ndarray:
        """Return the frames, bool (T,), in which the hands fit the arms better if exchanged.

        Example:
            >>> points = ("right_wrist", "left_wrist", "right_hand_wrist", "left_hand_wrist")
            >>> frame = [[0.0, 0, 0, 1], [1, 0, 0, 1], [0.9, 0, 0, 1], [0, 0, 0, 0]]  # the right hand is at the left arm
            >>> HandPoints(Skeleton("arms", (("pose", points),))).find_exchanged(np.array([frame])).tolist()
            [True]
        """
        chosen = clip[:, self._wrists].astype(np.float32)
        points = np.where(chosen[..., 3:] > 0, chosen[..., :2], np.float32(np.nan))
        right, left, right_arm, left_arm = np.moveaxis(points, 1, 0)

        def gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            return np.sqrt(np.square(a - b).sum(-1))

        arms = gap(right_arm, left_arm)
        better = np.stack([gap(right, right_arm) - gap(right, left_arm), gap(left, left_arm) - gap(left, right_arm)])
        with np.errstate(invalid="ignore"):
            fits_other = np.where(np.isnan(better), True, better > 0).all(0) & ~np.isnan(better).all(0)
            return fits_other & (arms > MIN_WRIST_DISTANCE * self._width(clip))

    def _width(self, clip: np.ndarray) -> float:
        """Return the median width of the shoulders, 0 if the skeleton or the clip has none."""
        names = ("left_shoulder", "right_shoulder")
        if not set(names) <= set(self.skeleton.names):
            return 0.0
        shoulders = clip[:, self.skeleton.indices(names)].astype(np.float32)
        seen = (shoulders[..., 3] > 0).all(-1)
        width = np.sqrt(np.square(shoulders[seen, 0, :2] - shoulders[seen, 1, :2]).sum(-1))
        return float(np.median(width)) if seen.any() else 0.0

    def exchange(self, clip: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Return a copy of a clip with exchanged hands in some frames, bool (T,)."""
        right, left = self.hands
        out = clip.copy()
        rows = np.flatnonzero(frames)[:, None]
        out[rows, right], out[rows, left] = clip[rows, left], clip[rows, right]
        return out
