"""Run by torchrun in a test: MMEngine's own Runner, then that of `karsl train`, on two ranks with gloo."""

from __future__ import annotations

import copy
import sys

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from karsl.engine import build_runner, launch, shut_down

if __name__ == "__main__":
    path, root, folder = sys.argv[1:]
    torch.set_num_threads(1)
    cfg = Config.fromfile(path)
    cfg.train_cfg.max_epochs = 1
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = root
    launch(cfg, "pytorch")  # MMEngine's own start of a process group asks for a GPU
    weights = []
    for name, build in (("plain", Runner.from_cfg), ("karsl", build_runner)):
        cfg.work_dir = f"{folder}/{name}"
        cfg.experiment_name = name
        runner = build(copy.deepcopy(cfg))
        runner.train()
        runner.test()
        weights.append(torch.cat([value.flatten() for value in runner.model.state_dict().values()]))
    assert torch.equal(*weights)
    totals = [torch.zeros_like(weights[0]) for _ in range(2)]
    torch.distributed.all_gather(totals, weights[0])
    assert torch.equal(*totals)
    shut_down()
