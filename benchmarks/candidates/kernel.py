"""The compiled pass of `karsl` alone: the plans of all batches are made before, and two batches alternate as in `limit`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch

from benchmarks.candidates.base import PIPELINE
from benchmarks.candidates.packed import KarslPacked
from benchmarks.task import CHANNELS, CLIP_LEN, NUM_KEYPOINTS, EndlessOrder

_PLANS = 128


class KarslKernel(KarslPacked):
    """The compiled pass of `karsl`.

    Args:
        name: Name in the table.
        pipeline: Transforms.
    """

    role = "part"
    store = KarslPacked.store
    max_workers = 0

    def __init__(self, name: str, pipeline: list[dict]) -> None:
        self.name, self.pipeline = name, pipeline

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        dataset = self.open(folder, self.pipeline, seed=seed)
        order = iter(EndlessOrder(len(dataset), seed=seed))
        outs = [torch.empty(batch_size, CLIP_LEN, NUM_KEYPOINTS, CHANNELS) for _ in range(2)]
        mask = np.empty((batch_size * CLIP_LEN, NUM_KEYPOINTS), bool)

        def batches() -> Iterator[torch.Tensor]:
            indices = ([next(order) for _ in range(batch_size)] for _ in range(_PLANS))
            plans = [dataset.batch_segment(np.array(batch)).deferred for batch in indices]
            for plan, out in zip(cycle(plans), cycle(outs), strict=False):
                plan.write(channels=CHANNELS, out=out.numpy().reshape(-1, NUM_KEYPOINTS, CHANNELS), mask=mask)
                yield out

        return batches()


_CENTERS = {**PIPELINE[1], "jitter": 0.0}
CANDIDATES = (
    KarslKernel("karsl-kernel", PIPELINE),
    KarslKernel("karsl-kernel-eval", [PIPELINE[0], _CENTERS, PIPELINE[-1]]),  # no augmentation
)
