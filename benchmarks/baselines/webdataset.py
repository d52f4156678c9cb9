"""WebDataset: tar shards read in sequence, shuffled by shard and in a buffer, without random access."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidate import Candidate, folder_bytes
from benchmarks.clips import Clips
from benchmarks.task import EagerTask, plain_loader

_CLIPS_PER_SHARD = 750  # about 80 MB
_MIN_SHARDS = 8  # at least one per worker, even with few clips
_SHUFFLE_BUFFER = 1000  # clips, as in its documentation


class WebDatasetLoader(Candidate):
    """One `.npy` member per clip."""

    name = "webdataset"
    libraries = ("webdataset",)

    def prepare(self, clips: Clips, folder: Path) -> int:
        import webdataset

        per_shard = max(1, min(_CLIPS_PER_SHARD, len(clips) // _MIN_SHARDS))
        with webdataset.ShardWriter(f"{folder}/%06d.tar", maxcount=per_shard, verbose=0) as writer:
            for number, clip in enumerate(clips):
                writer.write({"__key__": f"{number:06d}", "npy": np.ascontiguousarray(clip)})
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        shards = _shards(folder)
        dataset = _open(folder, shuffle=len(shards), seed=seed).shuffle(_SHUFFLE_BUFFER, seed=seed)
        dataset = dataset.decode().map(TakeClip()).map(EagerTask(seed)).repeat()
        return plain_loader(dataset, batch_size=batch_size, num_workers=num_workers, start_method=start_method)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        return list(islice(_open(folder, shuffle=False, seed=0).decode().map(TakeClip()), count))


class TakeClip:
    """Transform that returns the array of a sample."""

    def __call__(self, sample: dict) -> np.ndarray:
        return sample["npy"]


def _shards(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.tar"))


def _open(folder: Path, *, shuffle: int | bool, seed: int):
    import webdataset

    return webdataset.WebDataset(_shards(folder), shardshuffle=shuffle, seed=seed, empty_check=False)


CANDIDATE = WebDatasetLoader()
