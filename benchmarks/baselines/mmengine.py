"""The memory map in MMEngine's BaseDataset with its default collate function, as in an OpenMMLab project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidate import Candidate, folder_bytes
from benchmarks.clips import Clips, StoredClips, read_offsets, write_block
from benchmarks.task import EagerTask, EndlessOrder, plain_loader


class MMEngineMap(Candidate):
    """Records in a BaseDataset, clips in a memory map; the lists of tensors are stacked at the end, as a model would do."""

    name = "mmengine"
    store = "memory-map"
    libraries = ("mmengine",)
    extra = "mmengine"

    def prepare(self, clips: Clips, folder: Path) -> int:
        write_block(clips, folder)
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from mmengine.dataset import pseudo_collate

        from benchmarks.baselines.mmengine_dataset import MappedRecords

        dataset = MappedRecords(folder, pipeline=[ReadMapped(folder), RunTask(seed), pack])
        loader = plain_loader(
            dataset,
            batch_size=batch_size,
            sampler=EndlessOrder(len(dataset), seed=seed),
            collate_fn=pseudo_collate,
            num_workers=num_workers,
            start_method=start_method,
        )
        return _stacked(loader)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        offsets, read = read_offsets(folder), ReadMapped(folder)
        return [read({"start": offsets[i], "end": offsets[i + 1]})["keypoint"] for i in range(count)]


class ReadMapped:
    """Transform that reads `keypoint` from `start` to `end`."""

    def __init__(self, folder: Path) -> None:
        self.clips = StoredClips(folder)

    def __call__(self, results: dict) -> dict:
        results["keypoint"] = self.clips.frames[results["start"] : results["end"]]
        return results


class RunTask:
    """The task as a transform."""

    def __init__(self, seed: int) -> None:
        self.task = EagerTask(seed)

    def __call__(self, results: dict) -> dict:
        results["keypoint"] = self.task(results["keypoint"])
        return results


def pack(results: dict) -> dict:
    """Return the input of the model."""
    return {"inputs": torch.from_numpy(results["keypoint"]), "label": results["label"]}


def _stacked(loader: Iterable[dict]) -> Iterator[torch.Tensor]:
    for batch in loader:
        yield torch.stack(batch["inputs"])


CANDIDATE = MMEngineMap()
