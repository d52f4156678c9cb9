"""karsl's dataset and transforms, one clip at a time, over KArSL's own archives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from karsl.analysis.bench.clips import Clips
from karsl.analysis.bench.job import CLIP_LEN, FLIP_PROB, ROTATION_DEG, SCALE, SHIFT, EndlessOrder, plain_loader
from karsl.analysis.bench.peers import npz_per_sign
from karsl.analysis.bench.ways import Way

PIPELINE: list[dict] = [
    dict(type="LoadKeypoints", cache_bytes=0),  # each clip is read at each access, as the peers do
    dict(type="TSNSampleFrames", clip_len=CLIP_LEN, jitter=1.0),
    dict(type="RandomFlip", prob=FLIP_PROB),
    dict(type="RandomAffine", rotation_deg=ROTATION_DEG, scale=SCALE, shift=SHIFT),
    dict(type="PackKeypointInputs", with_score=True),
]


class OursEager(Way):
    """KArSLDataset, keypoint_collate, PyTorch's loader."""

    name = "karsl-eager"
    role = "ours"
    store = npz_per_sign.WAY.store
    libraries = ("mmengine",)
    extra = "mmengine"

    def prepare(self, clips: Clips, folder: Path) -> int:
        return npz_per_sign.WAY.prepare(clips, folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from karsl.datasets import keypoint_collate

        dataset = OneByOne(open_dataset(folder, PIPELINE, seed=seed))
        loader = plain_loader(
            dataset,
            batch_size=batch_size,
            sampler=EndlessOrder(len(dataset), seed=seed),
            collate_fn=keypoint_collate,
            num_workers=num_workers,
            start_method=start_method,
        )
        return inputs_of(loader)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        dataset = open_dataset(folder, [PIPELINE[0], PIPELINE[-1]], seed=0)
        return [dataset[number]["inputs"].numpy() for number in range(count)]


class OneByOne(Dataset):
    """A dataset without `__getitems__`, so that samples are made one at a time also where numba is."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, idx: int) -> dict:
        return self.dataset[idx]


def open_dataset(folder: Path, pipeline: list[dict], *, seed: int):
    """The dataset over the archives; its index file lies beside them, so a second start maps it."""
    from karsl.datasets import KArSLDataset

    index = folder.with_name(f"{folder.name}-index")
    return KArSLDataset(data_root=str(folder), pipeline=pipeline, seed=seed, index_cache=str(index))


def inputs_of(loader: Iterable[dict]) -> Iterator[torch.Tensor]:
    """The float32 tensor of each batch."""
    for batch in loader:
        yield batch["inputs"]


WAY = OursEager()
