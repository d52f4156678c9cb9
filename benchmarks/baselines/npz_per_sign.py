"""One compressed archive per sign, opened at each access: KArSL's layout, read as in the original project."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips
from benchmarks.task import ReadClip

_CLIPS_PER_FILE = 42  # training clips of one sign and signer in KArSL


class NpzPerSign(RandomAccessCandidate):
    """Files such as `01-train/0001.npz` with one array per clip."""

    name = "npz-per-sign"

    def write(self, clips: Clips, folder: Path) -> None:
        (folder / "01-train").mkdir()
        stream = enumerate(clips)
        while part := dict(islice(stream, _CLIPS_PER_FILE)):
            path, _ = locate(folder, min(part))
            arrays: dict = {locate(folder, index)[1]: clip for index, clip in part.items()}
            np.savez_compressed(path, **arrays)

    def open_reader(self, folder: Path) -> ReadClip:
        def read(index: int) -> np.ndarray:
            path, key = locate(folder, index)
            with np.load(path) as archive:
                return archive[key]

        return read


def locate(folder: Path, index: int) -> tuple[Path, str]:
    """Return file and key of a clip."""
    return folder / "01-train" / f"{index // _CLIPS_PER_FILE + 1:04d}.npz", f"clip_{index:06d}"


CANDIDATE = NpzPerSign()
