"""Streams and memory-mapped tars of karsl, on the shards of a pack and on the tars of `webdataset`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.baselines.webdataset import CANDIDATE as WEBDATASET
from benchmarks.candidates.base import PIPELINE, SharedFilesCandidate, index_folder, inputs_of
from benchmarks.candidates.packed import CANDIDATE as PACKED
from benchmarks.task import plain_loader

_SKELETON = "karsl_184"


class StreamCandidate(SharedFilesCandidate):
    """StreamDataset with keypoint_collate in PyTorch's loader."""

    def open(self, folder: Path, pipeline: list[dict], *, seed: int, **options: Any) -> Any:
        from karsl.datasets import StreamDataset

        return StreamDataset(str(folder), pipeline, seed=seed, **_options(folder), **options)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from karsl.datasets import keypoint_collate

        stream = self.open(folder, PIPELINE, seed=seed, batch_size=batch_size)
        loader = plain_loader(
            stream, batch_size=batch_size, collate_fn=keypoint_collate, num_workers=num_workers, start_method=start_method,
            drop_last=True,
        )  # fmt: skip
        return _Epochs(stream, loader)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        stream = self.open(folder, [PIPELINE[0], PIPELINE[-1]], seed=0, shuffle=False)
        return [sample["inputs"].numpy() for _, sample in zip(range(count), stream, strict=False)]


class TarCandidate(SharedFilesCandidate):
    """TarDataset, with random access and keypoint_collate in PyTorch's loader."""

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        from karsl.datasets import TarDataset

        return TarDataset(folder, pipeline, seed=seed, **_options(folder))


class _Epochs:
    """Epochs of a stream; each iteration is the next epoch, in another order."""

    def __init__(self, stream: Any, loader: Iterable[dict]) -> None:
        self._stream, self._loader, self._epoch = stream, loader, 0

    def __iter__(self) -> Iterator[torch.Tensor]:
        self._stream.set_epoch(self._epoch)
        self._epoch += 1
        return inputs_of(self._loader)


def _options(folder: Path) -> dict:
    """Return the options of both datasets; indexes are cached next to the files."""
    index = index_folder(folder)
    return dict(skeleton=_SKELETON, index_cache=index, cache_dir=index)


CANDIDATES = (
    StreamCandidate("karsl-stream", PACKED),
    StreamCandidate("karsl-stream-tars", WEBDATASET),
    TarCandidate("karsl-tars", WEBDATASET),
)
