"""What gives clips, whatever form they lie in: packs, converters, recorded datasets and Ray stand on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from karsl.skeletons import Skeleton
from karsl.storage.stamp import files_at, stamp_of

_PUBLIC_KEYS = ("clip_id", "label", "sign", "signer", "split", "num_frames", "fps")


def public(record: dict) -> dict:
    """The facts of a record that are true wherever its clip lies, in whatever form.

    Example:
        >>> public({"clip_id": "a", "signer": None, "num_frames": 3, "keypoint_path": "a.npy"})
        {'clip_id': 'a', 'num_frames': 3}
    """
    return {key: record[key] for key in _PUBLIC_KEYS if record.get(key) is not None}


class ClipSource(ABC):
    """Clips in any form. A source is picklable and holds no open file, so that workers can read from it.

    A subclass has the attributes and `read`; the rest says less than it could until it is overridden.

    Attributes:
        metainfo: `dataset_name`, `skeleton` as configs write it, `classes` (K), and `classes_ar`, `signs` where known.
        skeleton: Of every clip that `read` gives.
        records: One dict a clip: `clip_id`, `num_frames`, `label` (place in `classes`), and `sign`, `signer`, `split` where
            known; other keys are the source's own locator.
        notes: One sentence for each kind of thing that lies in the files and is not read.
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    notes: tuple[str, ...] = ()

    @abstractmethod
    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record: float32 (T, V, 4), x y z score, four zeros where a point is missing."""

    def stored(self, record: dict) -> np.ndarray:
        """The same in the numbers that it lies in, float16 or float32."""
        return self.read(record)

    def public(self, record: dict) -> dict:
        """What a pack keeps of a record."""
        return public(record)

    @property
    def stamp(self) -> str:
        """Stands for what the clips are made of, so that interrupted work goes on only with the same; empty if unknown."""
        return ""


@dataclass(frozen=True)
class Clips(ClipSource):
    """A source made of a list of records and a function that reads one of them.

    Args:
        metainfo, skeleton, records, notes: See `ClipSource`.
        reader: Picklable; gives the canonical clip of a record.
        place: File or folder that it reads from, if any; without one, an interrupted `pack_clips` of it begins anew.

    Example:
        >>> from karsl.skeletons import Skeleton
        >>> dot = Skeleton("dot", (("pose", ("nose",)),))
        >>> records = [{"clip_id": "a", "label": 0, "num_frames": 2}]
        >>> source = Clips({"classes": ("hello",)}, dot, records, lambda record: np.ones((2, 1, 4)))
        >>> isinstance(source, ClipSource), source.read(source.records[0]).shape
        (True, (2, 1, 4))
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    reader: Callable[[dict], np.ndarray]
    notes: tuple[str, ...] = ()
    place: Path | None = None

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record, float32 (T, V, 4)."""
        return self.reader(record)

    @cached_property
    def stamp(self) -> str:
        """Stands for the state of all files there: names, sizes and times; empty without a place."""
        if self.place is None:
            return ""
        return stamp_of(self.place if self.place.is_dir() else self.place.parent, files_at(self.place))
