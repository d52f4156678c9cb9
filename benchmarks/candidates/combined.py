"""The pack of `karsl` through nested dataset wrappers, to measure the overhead of mixing datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.candidates.base import PIPELINE
from benchmarks.candidates.packed import KarslPacked, open_pack


class KarslCombined(KarslPacked):
    """Three datasets of the pack, repeated, sliced, interleaved, shuffled and mixed, then the last transforms."""

    name = "karsl-combined"
    store = KarslPacked.store

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        return nested(folder, pipeline, seed=seed)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        from karsl.datasets.combine import ConcatDataset, SliceDataset

        dataset = open_pack(folder, [PIPELINE[0], PIPELINE[-1]], seed=0)
        whole = ConcatDataset([SliceDataset(dataset, slice(0, 3)), SliceDataset(dataset, slice(3, None))])
        return [whole[index]["inputs"].numpy() for index in range(count)]


def nested(folder: Path, pipeline: list[dict], *, seed: int) -> Any:
    """Return a tree of dataset wrappers over three datasets of one pack."""
    from karsl.datasets.combine import InterleaveDataset, MapDataset, MixDataset, RepeatDataset, ShuffleDataset, SliceDataset

    a, b, c = (open_pack(folder, pipeline[:2], seed=seed) for _ in range(3))
    half = len(a) // 2
    mix = MixDataset(
        [
            RepeatDataset(SliceDataset(a, slice(0, half)), 2),
            InterleaveDataset([SliceDataset(b, slice(half, None)), ShuffleDataset(c)]),
        ]
    )
    return MapDataset(mix, pipeline[2:])


CANDIDATE = KarslCombined()
