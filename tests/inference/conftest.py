"""Small checkpoints: of a corpus in KArSL's layout, and of any annotation root."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config

from karsl.engine import build_runner
from karsl.evaluation import AccuracyMetric
from karsl.registry import METRICS

PIPELINE = [
    {"type": "LoadKeypoints"},
    {"type": "TSNSampleFrames", "clip_len": 8},
    {"type": "CenterScale"},
    {"type": "PackKeypointInputs"},
]
BACKBONE = {"type": "STTransformer", "skeleton": "auto", "in_channels": "auto", "embed_dims": 16, "depth": 2, "num_heads": 2}
_NUMBERS = itertools.count()


@METRICS.register_module(force=True)
class RecordScores(AccuracyMetric):
    """Accuracy, and all scores in the order of the dataset."""

    scores: np.ndarray

    def process(self, data_batch: Any, data_samples: Any) -> None:
        super().process(data_batch, data_samples)
        rows = [sample["pred_score"].numpy() for sample in data_samples]
        type(self).scores = np.concatenate([getattr(type(self), "scores", np.empty((0, len(rows[0])), np.float32)), rows])


def config(work_dir: Path, dataset: dict, *, pipeline: Any = PIPELINE, backbone: dict = BACKBONE, **keys: Any) -> Config:
    loader = {"batch_size": 5, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    data = {"pipeline": pipeline, **dataset}
    head = {"type": "ClassifierHead", "num_classes": "auto", "in_channels": backbone["embed_dims"]}
    return Config({
        "default_scope": "karsl",
        "model": {"type": "KeypointRecognizer", "backbone": backbone, "cls_head": head},
        "train_dataloader": {**loader, "dataset": data},
        "test_dataloader": {**loader, "dataset": {**data, "test_mode": True}},
        "train_cfg": {"by_epoch": True, "max_epochs": 1},
        "test_cfg": {},
        "test_evaluator": {"type": "RecordScores"},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.01}},
        "randomness": {"seed": 1},
        "work_dir": str(work_dir),
        "experiment_name": f"inference_{next(_NUMBERS)}",
        **keys,
    })  # fmt: skip


@pytest.fixture(scope="session")
def train(tmp_path_factory) -> Callable[..., tuple[Path, np.ndarray]]:
    """`train(dataset, **config)`: a checkpoint after one epoch, and the scores of `runner.test()` on the same clips."""

    def run(dataset: dict, **options: Any) -> tuple[Path, np.ndarray]:
        work = tmp_path_factory.mktemp("train")
        runner = build_runner(config(work, dataset, **options))
        runner.train()
        if hasattr(RecordScores, "scores"):
            del RecordScores.scores
        runner.test()
        return work / "epoch_1.pth", RecordScores.scores

    return run


@pytest.fixture(scope="session")
def trained(train, corpus) -> tuple[Path, np.ndarray]:
    """A checkpoint of the synthetic corpus, and its scores on all clips."""
    return train({"type": "KArSLDataset", "data_root": str(corpus)})
