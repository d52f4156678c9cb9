"""One .npy file per clip, read by numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips
from benchmarks.task import ReadClip


class NpyPerClip(RandomAccessCandidate):
    """Folders of 1000 files each."""

    name = "npy-per-clip"

    def write(self, clips: Clips, folder: Path) -> None:
        for index, clip in enumerate(clips):
            path = _path(folder, index)
            path.parent.mkdir(exist_ok=True)
            np.save(path, clip)

    def open_reader(self, folder: Path) -> ReadClip:
        return lambda index: np.load(_path(folder, index))


def _path(folder: Path, index: int) -> Path:
    return folder / f"{index // 1000:03d}" / f"{index:06d}.npy"


CANDIDATE = NpyPerClip()
