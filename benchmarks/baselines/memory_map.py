"""One memory-mapped float32 block of all frames with offsets: the fast format of the original project."""

from __future__ import annotations

from pathlib import Path

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips, StoredClips, write_block
from benchmarks.task import ReadClip


class MemoryMap(RandomAccessCandidate):
    """Memory map of numpy."""

    name = "memory-map"

    def write(self, clips: Clips, folder: Path) -> None:
        write_block(clips, folder)

    def open_reader(self, folder: Path) -> ReadClip:
        return StoredClips(folder).__getitem__


CANDIDATE = MemoryMap()
