"""One compressed archive a sign, opened anew at each access: the reference project's lazy way, in KArSL's own layout."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.candidate import MemoryMapped
from benchmarks.clips import Clips
from benchmarks.task import ReadClip

_CLIPS_PER_FILE = 42  # KArSL's training clips of one sign and signer


class NpzPerSign(MemoryMapped):
    """`01-train/0001.npz` with one array a clip."""

    name = "npz-per-sign"

    def write(self, clips: Clips, folder: Path) -> None:
        (folder / "01-train").mkdir()
        stream = enumerate(clips)
        while part := dict(islice(stream, _CLIPS_PER_FILE)):
            path, _ = locate(folder, min(part))
            arrays: dict = {locate(folder, number)[1]: clip for number, clip in part.items()}
            np.savez_compressed(path, **arrays)

    def open_reader(self, folder: Path) -> ReadClip:
        def read(number: int) -> np.ndarray:
            path, key = locate(folder, number)
            with np.load(path) as archive:
                return archive[key]

        return read


def locate(folder: Path, number: int) -> tuple[Path, str]:
    """File and key of a clip."""
    return folder / "01-train" / f"{number // _CLIPS_PER_FILE + 1:04d}.npz", f"clip_{number:06d}"


CANDIDATE = NpzPerSign()
