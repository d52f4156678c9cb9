"""Clips of records that say where they lie: archives, arrays, packs, mapped tars."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from karsl.io.annotations import LOCATOR_KEYS
from karsl.io.hashing import fingerprint_files
from karsl.io.reader import ClipReader
from karsl.skeletons import Skeleton
from karsl.storage.clip_source import ClipSource


@dataclass(frozen=True)
class LocatedClips(ClipSource):
    """A source of clips that lie where their records say, see `ClipReader`; files are opened in the process that reads.

    Args:
        metainfo, skeleton, records, notes: See `ClipSource`.
        root: Folder that the records' paths are relative to.
    """

    metainfo: dict
    skeleton: Skeleton
    records: list[dict]
    root: Path
    notes: tuple[str, ...] = ()
    _reader: ClipReader = field(default_factory=lambda: ClipReader(cache_bytes=0), repr=False, compare=False)

    def read(self, record: dict) -> np.ndarray:
        """The canonical clip of a record, float32 (T, V, 4)."""
        return self.stored(record).astype(np.float32)

    def stored(self, record: dict) -> np.ndarray:
        """The same in the numbers that it lies in, float16 or float32, and without a copy where it is mapped."""
        path = os.path.join(self.root, record["keypoint_path"])
        return self._reader.read({**record, "keypoint_path": path}, self.skeleton.num_keypoints)

    def public(self, record: dict) -> dict:
        """Everything that a record says but where its clip lies here."""
        return {key: value for key, value in record.items() if key not in LOCATOR_KEYS}

    @cached_property
    def stamp(self) -> str:
        """Stands for the state of the files: names, sizes and times."""
        return fingerprint_files(self.root, (r["keypoint_path"] for r in self.records))
