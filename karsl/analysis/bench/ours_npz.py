"""karsl's dataset over KArSL's own archives: members read by offset, batches in one compiled pass."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from karsl.analysis.bench.clips import Clips
from karsl.analysis.bench.job import EndlessOrder, plain_loader
from karsl.analysis.bench.ours_eager import PIPELINE, inputs_of, open_dataset
from karsl.analysis.bench.peers import npz_per_sign
from karsl.analysis.bench.ways import Way


class OursNpz(Way):
    """KArSLDataset over the archives that `npz-per-sign` reads, nothing kept from one access to the next."""

    name = "karsl-npz"
    role = "ours"
    store = npz_per_sign.WAY.store
    libraries = ("mmengine", "numba")
    extra = "fast"

    def prepare(self, clips: Clips, folder: Path) -> int:
        return npz_per_sign.WAY.prepare(clips, folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from karsl.datasets import keypoint_collate

        dataset = open_dataset(folder, PIPELINE, seed=seed)
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


WAY = OursNpz()
