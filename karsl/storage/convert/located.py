"""Reads the clips of records that say where they lie: archives, arrays, packs, mapped tars."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from karsl.storage.reader import ClipReader


@dataclass(frozen=True)
class LocatedReader:
    """Reads by locator, with paths relative to a folder; clips come as float32.

    Args:
        root: Folder of the records' paths.
        num_keypoints: Of every clip.
    """

    root: Path
    num_keypoints: int
    reader: ClipReader = field(default_factory=lambda: ClipReader(cache_bytes=0), repr=False, compare=False)

    def __call__(self, record: dict) -> np.ndarray:
        here = {**record, "keypoint_path": str(self.root / record["keypoint_path"])}
        return self.reader.read(here, self.num_keypoints).astype(np.float32)
