"""The hook writes memory into the log of a real training run."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from karsl.profiling.hook import MemoryHook
from karsl.testing.records import SyntheticRecords

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="page maps are Linux's")


class ToyModel(BaseModel):
    """Learns the mean label."""

    def __init__(self):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(()))

    def forward(self, labels, mode="tensor"):
        return {"loss": ((labels.float() - self.mean) ** 2).mean()}


class LabelDicts(SyntheticRecords):
    """As a model takes them."""

    def prepare_data(self, idx):
        return {"labels": super().prepare_data(idx)}


def test_figures_and_verdict_enter_the_log(tmp_path):
    runner = Runner(
        ToyModel(),
        str(tmp_path),
        train_dataloader={
            "batch_size": 100,
            "num_workers": 1,
            "persistent_workers": True,
            "dataset": LabelDicts(1000, index_cache=None),
            "sampler": {"type": "DefaultSampler", "shuffle": True},
            "collate_fn": {"type": "default_collate"},
        },
        default_scope="karsl",
        train_cfg={"by_epoch": True, "max_epochs": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={"logger": {"type": "LoggerHook", "interval": 5}},
        custom_hooks=[MemoryHook(interval=5)],
        visualizer={"type": "karsl.LogVisualizer", "vis_backends": [{"type": "LocalVisBackend"}]},
        experiment_name="memory_hook",
    )
    runner.train()
    runner.train_dataloader._iterator._shutdown_workers()
    (scalars,) = tmp_path.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert [line["private_records_pct"] for line in lines] == [0.0, 0.0]
    assert all(line["memory_mib"] > line["worker_uss_mib"] > 0 for line in lines)
    (log,) = tmp_path.glob("*/*.log")
    assert "memory: shared: 0.0 % of the record pages are private copies" in log.read_text()
