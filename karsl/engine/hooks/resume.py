"""Go on in the middle of an epoch: the next batch after a kill is the one that would have come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from karsl.datasets.resume import Resumable
from karsl.datasets.tree import set_epoch, walk_datasets
from karsl.engine.hooks.epoch import TRAINING, common_seed, seed_everything
from karsl.engine.hooks.workers import stop_workers
from karsl.errors import ConfigError
from karsl.registry import HOOKS

KEY = "data_order"


def find_order(loader: DataLoader) -> Resumable | None:
    """What decides which clip comes when: a stream that is the loader's dataset, or its sampler; None if neither can say."""
    sampler = getattr(loader.batch_sampler, "sampler", None) if loader.batch_sampler is not None else None
    for part in (loader.dataset, loader.sampler, sampler):
        if isinstance(part, Resumable):
            return part
    return None


@HOOKS.register_module()
class ResumeHook(Hook):
    """Save how far the data are, and go on there, in loops by epoch and by iteration.

    It works with `StreamDataset` and with this package's samplers, and leaves every other loader alone.

    - Checkpoints hold seed, epoch and the number of clips that all ranks were trained on; a resumed run begins with the
      next, also with another number of workers or ranks.
    - A loop by iteration goes through epochs of its own: each has its order and draws. MMEngine's skipping of batches that
      were seen, and its wait between epochs, fall away.
    - `random`, numpy and torch are seeded from (seed, iteration, rank) before each iteration, so dropout goes on too.
    """

    # After EpochHook, which seeds, and before hooks that look at batches or save.
    priority = "HIGH"

    def __init__(self) -> None:
        self._state: dict | None = None  # of a checkpoint that was loaded; empty if it does not say

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state until it is known whether this run goes on with it."""
        self._state = checkpoint.get(KEY, {})

    def before_train_epoch(self, runner: Runner) -> None:
        """Go to the epoch, and in the first one of a resumed run to the clip where it stopped."""
        loop, loader = runner.train_loop, runner.train_dataloader
        order = _told_batch_size(loader)
        if order is None:
            return
        seed, state = common_seed(runner), self._state
        self._state = None  # later epochs begin at their first clip
        if state is not None and runner.iter > 0:
            order.load_state_dict(state or _reckoned(runner, order, seed))
            told = f"data: epoch {order.epoch} goes on after {order.consumed} of {order.total} clips"
            reckoned = (
                "" if state else "; reckoned from its iterations, since the checkpoint does not say which clips it saw"
            )
            print_log(told + reckoned, logger="current")
        if isinstance(loop, IterBasedTrainLoop):
            seed = order.seed if runner.iter > 0 else seed
            skip = 0 if hasattr(loop.dataloader_iterator, "skip_iter") else runner.iter
            loop.dataloader_iterator = EpochIterator(loader, order, seed=seed, skip=skip)
        else:
            order.set_epoch(runner.epoch, seed)

    def before_val_epoch(self, runner: Runner) -> None:
        """Tell a stream the batch size of its loader."""
        _told_batch_size(runner.val_dataloader)

    def before_test_epoch(self, runner: Runner) -> None:
        """The same."""
        _told_batch_size(runner.test_dataloader)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed dropout and the like."""
        if find_order(runner.train_dataloader) is not None:
            seed_everything(common_seed(runner), runner.iter, runner.rank, TRAINING)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None
    ) -> None:
        """Count the clips of the batch."""
        order = find_order(runner.train_dataloader)
        if order is not None:
            size = runner.train_dataloader.batch_size
            order.advance(size if isinstance(size, int) else count_clips(data_batch))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Write the state."""
        order = find_order(runner.train_dataloader)
        if order is not None:
            checkpoint[KEY] = order.state_dict()


class EpochIterator:
    """Batches without end for a loop by iteration, epoch after epoch.

    Args:
        loader: Its order was put where it is to begin.
        order: Of the loader.
        seed: Of the run.
        skip: How often MMEngine's loop will ask for batches that it saw before the run was resumed; it gets None. The loop
            of its fork calls `skip_iter` instead, or nothing.
    """

    def __init__(self, loader: DataLoader, order: Resumable, *, seed: int, skip: int) -> None:
        self._loader, self._order, self._seed, self._skip = loader, order, seed, skip
        self._state = order.state_dict()  # DistSamplerSeedHook sets epoch 0 after us: this loop has no other
        self._batches: Iterator | None = None

    def __iter__(self) -> EpochIterator:
        return self

    def __next__(self) -> Any:
        if self._skip:
            self._skip -= 1
            return None
        if self._batches is None:
            self._order.load_state_dict(self._state | {"seed": self._seed})
            self._begin(self._order.epoch)
        for _ in range(2):
            batch = next(self._batches, None)  # type: ignore[arg-type]
            if batch is not None:
                return batch
            self._begin(self._order.epoch + 1)
        raise ConfigError("an epoch without a batch: the dataset has fewer clips than one batch and drop_last=True")

    def skip_iter(self, num_iters: int) -> None:
        """Nothing: the order is where it is to go on."""

    def _begin(self, epoch: int) -> None:
        self._order.set_epoch(epoch, self._seed)
        for dataset in walk_datasets(self._loader.dataset):
            set_epoch(dataset, epoch, self._order.seed)
        if self._batches is None:
            stop_workers(self._loader)  # those of MMEngine's own iterator, which began before the state was known
        self._batches = iter(self._loader)


def _told_batch_size(loader: DataLoader) -> Resumable | None:
    order = find_order(loader)
    if order is not None and isinstance(loader.batch_size, int):
        order.batch_size = loader.batch_size
    return order


def _reckoned(runner: Runner, order: Resumable, seed: int) -> dict[str, int]:
    """Where a run is whose checkpoint does not say: after as many batches as iterations, if epochs are as long as now."""
    loader, share = runner.train_dataloader, order.share(0)
    epoch, step = divmod(runner.iter, max(1, len(loader)))
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        epoch, step = runner.epoch, runner.iter - runner.epoch * len(loader)
        if not 0 <= step <= len(loader):  # batches or ranks were others: nobody knows, so all clips of the epoch
            step = 0
    return {"seed": seed, "epoch": epoch, "consumed": share.consumed(step * (loader.batch_size or 1))}


def count_clips(batch: Any) -> int:
    """How many clips a batch has, of any collate function: the length of its first tensor or list.

    Example:
        >>> count_clips({"inputs": torch.zeros(4, 2)}), count_clips([[1, 2], [3, 4]])
        (4, 2)
    """
    while isinstance(batch, Mapping):
        batch = next(iter(batch.values()))
    while isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], (list, tuple, torch.Tensor)):
        batch = batch[0]
    return len(batch)
