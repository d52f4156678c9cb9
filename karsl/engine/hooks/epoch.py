"""Everything random in training as a function of (seed, epoch), so that a resumed run continues bit for bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from karsl.datasets.tree import set_epoch, walk_datasets
from karsl.registry import HOOKS

# The last part of a key: which of an epoch's two streams.
LOADING, TRAINING = 0, 1


def seed_everything(*key: int) -> None:
    """Seed `random`, numpy and torch from a few integers.

    Example:
        >>> seed_everything(1, 2, 0); first = torch.rand(1)
        >>> seed_everything(1, 2, 0); torch.equal(first, torch.rand(1))
        True
    """
    state = int(np.random.SeedSequence(key).generate_state(1)[0])
    random.seed(state)
    np.random.seed(state)
    torch.manual_seed(state)


@HOOKS.register_module()
class EpochHook(Hook):
    """Before each training epoch, tell the datasets its number and seed the global generators.

    - Each wrapped dataset with `set_epoch(epoch, seed)` gets both, so a clip's augmentation depends on (seed, epoch,
      clip) and on nothing else: not the rank, not the number of workers.
    - `random`, numpy and torch are seeded from (seed, epoch, rank), so dropout and loaders need no saved state. This
      happens before the loader starts and again before the first iteration: a loader with persistent workers draws a
      number at its first start only, and a resumed run starts it anew.
    - When a run without a seed is resumed, the sampler takes the seed of the checkpoint; MMEngine 0.10.7 leaves it with
      the new one.

    In an iteration-based loop MMEngine has no epochs: datasets stay in their automatic mode, nothing is seeded, and a
    resumed run is not bit-exact, unless the loader has one of this package's samplers or streams, see `ResumeHook`.
    """

    # Before every hook that may draw.
    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch; see the class."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        seed, epoch = common_seed(runner), runner.epoch
        loader = runner.train_loop.dataloader
        for dataset in walk_datasets(loader.dataset):
            set_epoch(dataset, epoch, seed)
        if not runner._randomness_cfg.get("diff_rank_seed") and hasattr(loader.sampler, "seed"):
            loader.sampler.seed = seed
        seed_everything(seed, epoch, runner.rank, LOADING)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed dropout and the like, once an epoch."""
        if batch_idx == 0 and not isinstance(runner.train_loop, IterBasedTrainLoop):
            seed_everything(common_seed(runner), runner.epoch, runner.rank, TRAINING)


def common_seed(runner: Runner) -> int:
    """The seed that all ranks share; with `diff_rank_seed` MMEngine adds the rank to it."""
    return runner.seed - runner.rank if runner._randomness_cfg.get("diff_rank_seed") else runner.seed
