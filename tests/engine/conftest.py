"""A dataset of two signs that a tiny model learns in seconds, and a config around it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.multiprocessing import Value

from karsl.registry import DATASETS
from karsl.skeletons import Skeleton, register_skeleton

register_skeleton(Skeleton("toy_hands", (("rh", ("right_a", "right_b")), ("lh", ("left_a", "left_b")))))
_NUMBERS = itertools.count()


@DATASETS.register_module(force=True)
class ToyClips(torch.utils.data.Dataset):
    """Noise of (seed, epoch, sample) around a constant of the class; the epoch is in shared memory."""

    def __init__(self, size: int = 12, num_classes: int = 2) -> None:
        self.size, self.num_classes = size, num_classes
        self.metainfo = {"classes": tuple(f"sign {k}" for k in range(num_classes)), "skeleton": "toy_hands"}
        self._seed, self._epoch = Value("q", 0), Value("q", -1)

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        self._epoch.value = epoch
        self._seed.value = 0 if seed is None else seed

    @property
    def seed_and_epoch(self) -> tuple[int, int]:
        return self._seed.value, self._epoch.value

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        label = index % self.num_classes
        noise = np.random.default_rng([self._seed.value, self._epoch.value + 1, index]).normal(size=(6, 4, 3))
        mask = torch.ones(6, 4, dtype=torch.bool)
        inputs = torch.from_numpy(noise.astype(np.float32)) * 0.3 + label
        return {"inputs": inputs, "keypoint_mask": mask, "label": label, "sample_idx": index}


def toy_config(work_dir: Path, *, max_epochs: int = 2, num_workers: int = 0) -> Config:
    """A whole config in text style; each call has an experiment of its own, MMEngine shares state by that name."""
    loader = {
        "batch_size": 4,
        "num_workers": num_workers,
        "persistent_workers": num_workers > 0,
        "dataset": {"type": "ToyClips"},
        "sampler": {"type": "DefaultSampler", "shuffle": True},
    }
    test_loader = {**loader, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    backbone = {"type": "STTransformer", "skeleton": "auto", "embed_dims": 8, "depth": 1, "num_heads": 2}
    head = {"type": "ClassifierHead", "num_classes": "auto", "in_channels": 8, "dropout_ratio": 0.2}
    return Config(
        {
            "default_scope": "karsl",
            "model": {"type": "KeypointRecognizer", "backbone": backbone, "cls_head": head},
            "train_dataloader": loader,
            "test_dataloader": test_loader,
            "train_cfg": {"by_epoch": True, "max_epochs": max_epochs},
            "test_cfg": {},
            "test_evaluator": {"type": "AccuracyMetric"},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.01}},
            "param_scheduler": [{"type": "CosineAnnealingLR", "T_max": 4, "end": 4, "by_epoch": True}],
            "default_hooks": {"logger": {"type": "LoggerHook", "interval": 1}},
            "randomness": {"seed": 3},
            "work_dir": str(work_dir),
            "experiment_name": f"toy_{next(_NUMBERS)}",
        }
    )


@pytest.fixture
def toy(tmp_path) -> Callable[..., Config]:
    """`toy(name='run', **kwargs)`: a config whose work dir is a folder of that name."""
    return lambda name="run", **kwargs: toy_config(tmp_path / name, **kwargs)
