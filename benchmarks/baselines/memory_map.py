"""One float32 block of all frames and offsets, mapped, read a clip at a time: the reference project's fast way."""

from __future__ import annotations

from pathlib import Path

from benchmarks.candidate import MemoryMapped
from benchmarks.clips import Clips, StoredClips, write_block
from benchmarks.task import ReadClip


class MemoryMap(MemoryMapped):
    """numpy's memory map."""

    name = "memory-map"

    def write(self, clips: Clips, folder: Path) -> None:
        write_block(clips, folder)

    def open_reader(self, folder: Path) -> ReadClip:
        return StoredClips(folder).__getitem__


CANDIDATE = MemoryMap()
