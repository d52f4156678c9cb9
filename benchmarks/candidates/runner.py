"""The dataset of `karsl` in a loader that MMEngine's Runner builds from a config."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.candidates.base import PIPELINE, inputs_of
from benchmarks.candidates.packed import KarslPacked, dataset_cfg


class KarslRunner(KarslPacked):
    """`Runner.build_dataloader`, as in training."""

    name = "karsl-runner"
    store = KarslPacked.store

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from mmengine.dataset import InfiniteSampler
        from mmengine.runner import Runner

        from karsl.datasets import keypoint_collate

        cfg = dict(
            batch_size=batch_size,
            num_workers=num_workers,
            sampler=dict(type=InfiniteSampler),
            collate_fn=keypoint_collate,
            dataset=dataset_cfg(folder, PIPELINE, seed=seed),
        )
        if num_workers:
            cfg |= dict(multiprocessing_context=start_method, persistent_workers=True)
        return inputs_of(Runner.build_dataloader(cfg, seed=seed))


CANDIDATE = KarslRunner()
