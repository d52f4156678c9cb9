"""One .npy file a clip, read by numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import MemoryMapped
from benchmarks.clips import Clips
from benchmarks.task import ReadClip


class NpyPerClip(MemoryMapped):
    """Folders of a thousand files each."""

    name = "npy-per-clip"

    def write(self, clips: Clips, folder: Path) -> None:
        for number, clip in enumerate(clips):
            path = _path(folder, number)
            path.parent.mkdir(exist_ok=True)
            np.save(path, clip)

    def open_reader(self, folder: Path) -> ReadClip:
        return lambda number: np.load(_path(folder, number))


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number // 1000:03d}" / f"{number:06d}.npy"


CANDIDATE = NpyPerClip()
