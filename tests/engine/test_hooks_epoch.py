"""Datasets get the epoch, and generators are seeded from it."""

from __future__ import annotations

import random

import numpy as np
import torch
from mmengine.hooks import Hook

from karsl.datasets.tree import walk_datasets
from karsl.engine import build_runner
from karsl.engine.hooks import seed_everything
from karsl.registry import HOOKS


@HOOKS.register_module(force=True)
class NoteDraws(Hook):
    """At the first iteration of each epoch, record the epoch of the dataset and values of the generators."""

    def __init__(self) -> None:
        self.notes: list = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            leaf = list(walk_datasets(runner.train_dataloader.dataset))[-1]
            self.notes.append((leaf.seed_and_epoch, random.random(), np.random.random(), torch.rand(1).item()))


def notes_of(cfg) -> list:
    hook = NoteDraws()
    cfg.custom_hooks = [{"type": "NoteDraws"}]
    runner = build_runner(cfg)
    runner.register_hook(hook)
    runner.train()
    return hook.notes


def test_the_dataset_gets_seed_and_epoch(toy):
    assert [seed_and_epoch for seed_and_epoch, *_ in notes_of(toy(max_epochs=3))] == [(3, 0), (3, 1), (3, 2)]


def test_global_generators_differ_by_epoch_and_repeat_by_run(toy):
    first, again = notes_of(toy("a")), notes_of(toy("b"))
    assert first == again
    assert len({number for _, *numbers in first for number in numbers}) == 6


def test_torch_subsets_inside_concatenations_are_reached():
    leaf = torch.utils.data.TensorDataset(torch.zeros(4))
    subset = torch.utils.data.Subset(leaf, [0, 1])
    both = torch.utils.data.ConcatDataset([subset, leaf])
    assert list(walk_datasets(both)) == [both, subset, leaf, leaf]


def test_a_loop_by_iterations_leaves_the_dataset_in_its_automatic_mode(toy):
    cfg = toy()
    cfg.train_cfg = {"by_epoch": False, "max_iters": 3}
    cfg.default_hooks.checkpoint = {"type": "CheckpointHook", "by_epoch": False, "interval": 3}
    cfg.param_scheduler = None
    assert notes_of(cfg)[0][0] == (0, -1)


def test_ranks_have_different_random_numbers():
    seed_everything(1, 0, 0)
    first = torch.rand(1)
    seed_everything(1, 0, 1)
    assert not torch.equal(first, torch.rand(1))
