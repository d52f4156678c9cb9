"""One conversion as its writer sees it: what to write, clip by clip, on the form's skeleton, with losses noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from karsl.errors import CorruptRecordError, DataErrors
from karsl.skeletons import Skeleton
from karsl.storage.clip_source import ClipSource
from karsl.storage.convert.losses import Losses
from karsl.storage.convert.mapped import describe_points, dropped_points, map_clip
from karsl.storage.half import to_half
from karsl.storage.record import value_problem

Progress = Callable[[Iterable, int], Iterable]


@dataclass
class Job:
    """What a writer is to write.

    Args:
        source: Of the clips.
        skeleton: The points to write.
        keeps: See `Losses.check`.
        losses: Where losses are noted.
        dtype: float32, or float16 to halve the bytes of forms that can.
        progress: `progress(records, total)` wraps the iteration over clips.
    """

    source: ClipSource
    skeleton: Skeleton
    keeps: frozenset[str]
    losses: Losses
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float32))
    progress: Progress | None = None

    @property
    def metainfo(self) -> dict:
        """Of the source, without what it says of its keypoints."""
        return {k: v for k, v in self.source.metainfo.items() if k != "skeleton"}

    def gloss(self, record: dict) -> str:
        """The class name of a record."""
        return str(self.source.metainfo["classes"][record["label"]])

    def clips(self, *, by: Callable[[dict], Any] | None = None) -> Iterator[tuple[dict, np.ndarray]]:
        """Records and their clips, float32 or float16 (T, V, 4) with the points to write.

        Args:
            by: Sorts the records, for a form that lays clips of one kind together.

        Raises:
            DataErrors: At the end, every clip that could not be read.
            ConfigError: A loss when strict; a value that float16 cannot hold.
        """
        records = sorted(self.source.records, key=by) if by else self.source.records
        mapping = self.skeleton.mapping_from(self.source.skeleton)
        dropped = dropped_points(self.source.skeleton, self.skeleton)
        problems: list[str] = []
        for record in self.progress(records, len(records)) if self.progress else records:
            try:
                clip = self._read(record)
            except (CorruptRecordError, FileNotFoundError) as error:
                problems.append(str(error))
                continue
            if problems:
                continue  # nothing will be written, but the rest is checked
            if len(dropped) and (clip[:, dropped, 3] > 0).any():
                what = describe_points(self.source.skeleton, dropped)
                self.losses.add("points", record["clip_id"], f"{what}, are not among the form's points and are left out")
            clip = map_clip(clip, mapping)
            self.losses.check(clip, record["clip_id"], self.keeps)
            yield record, self._stored(clip, record["clip_id"])
        if problems:
            raise DataErrors("the clips to convert", problems)

    def _read(self, record: dict) -> np.ndarray:
        clip, where = self.source.read(record), f"clip {record['clip_id']!r}"
        if len(clip) != record["num_frames"] or not len(clip):
            raise CorruptRecordError(
                f"{where} has {len(clip)} frames, its index says {record['num_frames']}; index it again"
            )
        problem = value_problem(clip)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; re-export it")
        return clip

    def _stored(self, clip: np.ndarray, clip_id: str) -> np.ndarray:
        if self.dtype == np.float32:
            return clip
        half = to_half(clip, called=clip_id, marked="mask" in self.keeps)
        if (half != clip).any():
            self.losses.add("precision", clip_id, "values are rounded to float16, 3 digits; --dtype float32 keeps them")
        return half
