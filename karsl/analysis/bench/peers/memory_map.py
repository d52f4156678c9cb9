"""One float32 block of all frames and offsets, mapped, read a clip at a time: the reference project's fast way."""

from __future__ import annotations

from pathlib import Path

from karsl.analysis.bench.clips import Clips, StoredClips, write_block
from karsl.analysis.bench.job import ReadClip
from karsl.analysis.bench.ways import MapWay


class MemoryMap(MapWay):
    """numpy's memory map."""

    name = "memory-map"

    def write(self, clips: Clips, folder: Path) -> None:
        write_block(clips, folder)

    def open_reader(self, folder: Path) -> ReadClip:
        return StoredClips(folder).__getitem__


WAY = MemoryMap()
