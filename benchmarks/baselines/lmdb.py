"""LMDB: one key per clip, bytes read without a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.candidate import RandomAccessCandidate
from benchmarks.clips import Clips
from benchmarks.task import CHANNELS, NUM_KEYPOINTS, ReadClip

_MAP_BYTES = 1 << 40  # address space, not disk
_CLIPS_PER_COMMIT = 256


class Lmdb(RandomAccessCandidate):
    """Opened in each process without locks, as its documentation recommends if there is no writer."""

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
        transaction = store.begin(buffers=True)  # stays open, since there is no writer

        def read(index: int) -> np.ndarray:
            clip = transaction.get(_key(index))
            return np.frombuffer(clip, np.float32).reshape(-1, NUM_KEYPOINTS, CHANNELS)  # type: ignore[arg-type]

        return read


def _key(index: int) -> bytes:
    return index.to_bytes(8, "big")


CANDIDATE = Lmdb()
