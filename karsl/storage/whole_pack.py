"""All shards of a pack as one run of frames."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from xxhash import xxh3_64

from karsl.storage.packed import Pack, shards_of


class WholePack:
    """The shards of a pack in the order of their names, their frames counted through.

    Args:
        path: Of the pack's folder, or of the frames of one shard, which then is all there is.

    Raises:
        FileNotFoundError: No such pack.
        CorruptRecordError: A shard is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        found = shards_of(self.path) if self.path.is_dir() else [self.path]
        if not found:
            raise FileNotFoundError(f"{self.path}: no shards such as frames-00000.npy; make a pack with 'karsl pack'")
        self.shards = [Pack(shard) for shard in found]
        sizes = [len(shard.frames) for shard in self.shards]
        self._first = {shard.path.name: sum(sizes[:n]) for n, shard in enumerate(self.shards)}
        self.digest = self.shards[0].digest if len(found) == 1 else _joined([shard.digest for shard in self.shards])

    @property
    def nbytes(self) -> int:
        """Of all frames."""
        return sum(shard.frames.nbytes for shard in self.shards)

    def rows(self, names: Sequence[str], which: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """int64 (N,), rows in the whole pack.

        Args:
            names: Files of shards.
            which: int (N,), places in `names`; starts: int64 (N,), rows in those shards.

        Raises:
            KeyError: There is no such shard.
        """
        return np.array([self._first[name] for name in names], np.int64)[which] + starts


def _joined(digests: Sequence[int]) -> int:
    return xxh3_64(np.array(digests, np.int64).tobytes()).intdigest() >> 1  # fits int64
