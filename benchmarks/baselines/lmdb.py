"""LMDB: one key a clip, raw bytes, read without a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import MemoryMapped
from benchmarks.clips import Clips
from benchmarks.task import CHANNELS, NUM_KEYPOINTS, ReadClip

_MAP_BYTES = 1 << 40  # address space, not disk
_CLIPS_PER_COMMIT = 256


class Lmdb(MemoryMapped):
    """Opened in each process without locks, as its documentation says for readers alone."""

    name = "lmdb"
    libraries = ("lmdb",)

    def write(self, clips: Clips, folder: Path) -> None:
        import lmdb

        with lmdb.open(str(folder / "clips"), map_size=_MAP_BYTES) as store:
            transaction = store.begin(write=True)
            for number, clip in enumerate(clips):
                transaction.put(_key(number), np.ascontiguousarray(clip).tobytes())
                if number % _CLIPS_PER_COMMIT == _CLIPS_PER_COMMIT - 1:
                    transaction.commit()
                    transaction = store.begin(write=True)
            transaction.commit()

    def open_reader(self, folder: Path) -> ReadClip:
        import lmdb

        store = lmdb.open(str(folder / "clips"), readonly=True, lock=False, readahead=False, map_size=_MAP_BYTES)
        transaction = store.begin(buffers=True)  # stays open: nobody writes

        def read(number: int) -> np.ndarray:
            return np.frombuffer(transaction.get(_key(number)), np.float32).reshape(-1, NUM_KEYPOINTS, CHANNELS)

        return read


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


CANDIDATE = Lmdb()
