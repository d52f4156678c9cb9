"""The same pack through nested combinators: what a mix of corpora costs over one dataset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from karsl.analysis.bench.job import EndlessOrder, plain_loader
from karsl.analysis.bench.ours_eager import PIPELINE, inputs_of
from karsl.analysis.bench.ours_packed import WAY as PACKED
from karsl.analysis.bench.ours_packed import OursPacked, open_pack


class OursCombined(OursPacked):
    """Three datasets over the pack, repeated, sliced, interleaved, shuffled and mixed, the last steps above the mix."""

    name = "karsl-combined"
    store = PACKED.store

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from karsl.datasets import keypoint_collate

        dataset = nested(folder, seed=seed)
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
        from karsl.datasets.combine import ConcatDataset, SliceDataset

        dataset = open_pack(folder, [PIPELINE[0], PIPELINE[-1]], seed=0)
        whole = ConcatDataset([SliceDataset(dataset, slice(0, 3)), SliceDataset(dataset, slice(3, None))])
        return [whole[number]["inputs"].numpy() for number in range(count)]


def nested(folder: Path, *, seed: int) -> Any:
    """A tree of five combinators over three datasets of one pack."""
    from karsl.datasets.combine import InterleaveDataset, MapDataset, MixDataset, RepeatDataset, ShuffleDataset, SliceDataset

    a, b, c = (open_pack(folder, PIPELINE[:2], seed=seed) for _ in range(3))
    half = len(a) // 2
    mix = MixDataset(
        [
            RepeatDataset(SliceDataset(a, slice(0, half)), 2),
            InterleaveDataset([SliceDataset(b, slice(half, None)), ShuffleDataset(c)]),
        ]
    )
    return MapDataset(mix, PIPELINE[2:])


WAY = OursCombined()
