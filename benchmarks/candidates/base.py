"""Shared parts of the candidates of karsl: the task as a pipeline, and a DataLoader."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from benchmarks.candidate import Candidate
from benchmarks.clips import Clips
from benchmarks.task import CLIP_LEN, FLIP_PROB, ROTATION_DEG, SCALE, SHIFT, plain_loader

PIPELINE: list[dict] = [
    dict(type="LoadKeypoints", cache_bytes=0),  # each access reads the clip, as in the baselines
    dict(type="TSNSampleFrames", clip_len=CLIP_LEN, jitter=1.0),
    dict(type="RandomFlip", prob=FLIP_PROB),
    dict(type="RandomAffine", rotation_deg=ROTATION_DEG, scale=SCALE, shift=SHIFT),
    dict(type="PackKeypointInputs", with_score=True),
]


class KarslCandidate(Candidate):
    """Dataset of karsl with keypoint_collate in PyTorch's loader.

    Attributes:
        threads: Threads of this process; None for those that the environment sets.
    """

    role = "karsl"
    libraries: tuple[str, ...] = ("mmengine", "numba")
    extra = "fast"
    threads: int | None = None

    @abstractmethod
    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        """Return the dataset of the candidate's files; its index is cached next to them, so a second start maps it."""

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        if self.threads:
            torch.set_num_threads(self.threads)
        dataset = self.open(folder, PIPELINE, seed=seed)
        loader = loader_over(dataset, seed=seed, batch_size=batch_size, num_workers=num_workers, start_method=start_method)
        return inputs_of(loader)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        dataset = self.open(folder, [PIPELINE[0], PIPELINE[-1]], seed=0)
        return [dataset[index]["inputs"].numpy() for index in range(count)]


class SharedFilesCandidate(KarslCandidate):
    """Candidate that reads the files of another one.

    Args:
        name: Name in the table.
        files: Candidate that writes the files.
    """

    def __init__(self, name: str, files: Candidate) -> None:
        self.name, self.files, self.store = name, files, files.store
        self.libraries = tuple(dict.fromkeys((*KarslCandidate.libraries, *files.libraries)))

    def prepare(self, clips: Clips, folder: Path) -> int:
        return self.files.prepare(clips, folder)


class EpochOrder(Sampler):
    """Endless epochs of ResumableSampler, which reads clips ahead from the disk."""

    def __init__(self, dataset: Any, *, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._epochs())

    def _epochs(self) -> Iterator[Iterable[int]]:
        from karsl.datasets import ResumableSampler

        sampler = ResumableSampler(self.dataset, seed=self.seed)
        for epoch in count():
            sampler.set_epoch(epoch)
            yield sampler


def loader_over(dataset: Any, *, seed: int, **options: Any) -> DataLoader:
    """Return a loader of endless batches of a dataset of karsl; `options` are those of `plain_loader`."""
    from karsl.datasets import keypoint_collate

    return plain_loader(dataset, sampler=EpochOrder(dataset, seed=seed), collate_fn=keypoint_collate, **options)


def inputs_of(loader: Iterable[dict]) -> Iterator[torch.Tensor]:
    """Yield the float32 tensor of each batch."""
    for batch in loader:
        yield batch["inputs"]


def index_folder(folder: Path) -> str:
    """Return the folder of the index files of a candidate."""
    return str(folder.with_name(f"{folder.name}-index"))
