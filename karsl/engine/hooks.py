"""Hooks of a training run: epochs and seeds, resuming within an epoch, stopping workers, a summary of the datasets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from karsl.datasets.order.resumable import ResumableOrder
from karsl.datasets.tree import set_epoch, walk_datasets
from karsl.errors import ConfigError, pluralize
from karsl.registry import HOOKS

ORDER_KEY = "data_order"
"""Key of a checkpoint for the position in the data."""

# Last component of a seed key: loading and training of an epoch use different streams.
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


def common_seed(runner: Runner) -> int:
    """Return the seed that all ranks share. With `diff_rank_seed` MMEngine adds the rank to it."""
    return runner.seed - runner.rank if runner._randomness_cfg.get("diff_rank_seed") else runner.seed


@HOOKS.register_module()
class EpochHook(Hook):
    """Set epoch and seed of the datasets and of the global generators before each training epoch.

    - Each dataset, wrapped ones included, gets `set_epoch(epoch, seed)`, so the augmentation of a clip depends only on
      (seed, epoch, clip), not on the rank or the number of workers.
    - `random`, numpy and torch are seeded from (seed, epoch, rank), so dropout and loaders need no saved state. This
      happens before the loader starts and again before the first iteration: a loader with persistent workers consumes a
      random number only at its first start, and a resumed run starts it again.
    - If a run without a seed is resumed, the sampler gets the seed of the checkpoint; MMEngine 0.10.7 leaves it with
      the new one.

    Iteration-based loops have no epochs in MMEngine: datasets stay in their automatic mode, nothing is seeded, and a
    resumed run is not bit-exact, unless the loader has a sampler or stream of this package, see `ResumeHook`.
    """

    # Before every hook that may use random numbers.
    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Runner) -> None:
        """Set epoch and seed."""
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
        """Seed the training step once per epoch."""
        if batch_idx == 0 and not isinstance(runner.train_loop, IterBasedTrainLoop):
            seed_everything(common_seed(runner), runner.epoch, runner.rank, TRAINING)


@HOOKS.register_module()
class ResumeHook(Hook):
    """Save the position in the data and resume there, in epoch-based and iteration-based loops.

    Applies to `StreamDataset` and the samplers of this package; other loaders are left alone.

    - Checkpoints contain seed, epoch and the number of samples that all ranks were trained on. A resumed run starts with
      the next sample, also with another number of workers or ranks.
    - An iteration-based loop runs through epochs, each with its own order and augmentation. MMEngine's skipping of batches
      that were seen, and its wait between epochs, do not apply.
    - `random`, numpy and torch are seeded from (seed, iteration, rank) before each iteration, so dropout resumes too.
    """

    # After EpochHook, which seeds, and before hooks that look at batches or save.
    priority = "HIGH"

    def __init__(self) -> None:
        self._state: dict | None = None  # of the loaded checkpoint; empty if it has none

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the state until training starts: a checkpoint may be loaded for its weights only."""
        self._state = checkpoint.get(ORDER_KEY, {})

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the epoch of the order; in the first epoch of a resumed run also the position."""
        loop, loader = runner.train_loop, runner.train_dataloader
        order = _set_batch_size(loader)
        if order is None:
            return
        seed, state = common_seed(runner), self._state
        self._state = None  # later epochs start at their first sample
        if state is not None and runner.iter > 0:
            order.load_state_dict(state or _estimate_state(runner, order, seed))
            text = f"data: resuming epoch {order.epoch} after {order.consumed} of {pluralize(order.total, 'clip')}"
            estimated = "" if state else "; estimated from the iteration, since the checkpoint has no position in the data"
            print_log(text + estimated, logger="current")
        if isinstance(loop, IterBasedTrainLoop):
            seed = order.seed if runner.iter > 0 else seed
            skip = 0 if hasattr(loop.dataloader_iterator, "skip_iter") else runner.iter
            loop.dataloader_iterator = EpochIterator(loader, order, seed=seed, skip=skip)
        else:
            order.set_epoch(runner.epoch, seed)

    def before_val_epoch(self, runner: Runner) -> None:
        """Set the batch size of a stream."""
        _set_batch_size(runner.val_dataloader)

    def before_test_epoch(self, runner: Runner) -> None:
        """Set the batch size of a stream."""
        _set_batch_size(runner.test_dataloader)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the training step."""
        if find_resumable(runner.train_dataloader) is not None:
            seed_everything(common_seed(runner), runner.iter, runner.rank, TRAINING)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Mapping | None = None
    ) -> None:
        """Advance the order by the samples of the batch."""
        order = find_resumable(runner.train_dataloader)
        if order is not None:
            size = runner.train_dataloader.batch_size
            order.advance(size if isinstance(size, int) else num_samples(data_batch))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the state to the checkpoint."""
        order = find_resumable(runner.train_dataloader)
        if order is not None:
            checkpoint[ORDER_KEY] = order.state_dict()


class EpochIterator:
    """Infinite iterator over the epochs of a loader, for iteration-based loops.

    Args:
        loader: Loader whose order is at the position to start from.
        order: Resumable order of the loader.
        seed: Seed of the run.
        skip: Number of initial `next` calls to answer with None. MMEngine's loop requests the batches that a resumed run
            has seen; the loop of its fork calls `skip_iter` instead, or nothing.
    """

    def __init__(self, loader: DataLoader, order: ResumableOrder, *, seed: int, skip: int) -> None:
        self._loader, self._order, self._seed, self._skip = loader, order, seed, skip
        self._state = order.state_dict()  # DistSamplerSeedHook sets epoch 0 afterwards, since this loop has no other
        self._batches: Iterator | None = None

    def __iter__(self) -> EpochIterator:
        return self

    def __next__(self) -> Any:
        if self._skip:
            self._skip -= 1
            return None
        if self._batches is None:
            self._order.load_state_dict(self._state | {"seed": self._seed})
            self._start_epoch(self._order.epoch)
        for _ in range(2):
            batch = next(self._batches, None)  # type: ignore[arg-type]
            if batch is not None:
                return batch
            self._start_epoch(self._order.epoch + 1)
        raise ConfigError("an epoch has no batch: the dataset has fewer clips than one batch and drop_last=True")

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing: the order is already at its position."""

    def _start_epoch(self, epoch: int) -> None:
        self._order.set_epoch(epoch, self._seed)
        for dataset in walk_datasets(self._loader.dataset):
            set_epoch(dataset, epoch, self._order.seed)
        if self._batches is None:
            stop_workers(self._loader)  # of MMEngine's own iterator, which started before the state was known
        self._batches = iter(self._loader)


def find_resumable(loader: DataLoader) -> ResumableOrder | None:
    """Return the resumable order of a loader: its dataset if that is a stream, or its sampler; None if it has none."""
    sampler = getattr(loader.batch_sampler, "sampler", None) if loader.batch_sampler is not None else None
    return next((part for part in (loader.dataset, loader.sampler, sampler) if isinstance(part, ResumableOrder)), None)


def _set_batch_size(loader: DataLoader) -> ResumableOrder | None:
    order = find_resumable(loader)
    if order is not None and isinstance(loader.batch_size, int):
        order.batch_size = loader.batch_size
    return order


def _estimate_state(runner: Runner, order: ResumableOrder, seed: int) -> dict[str, int]:
    """Estimate the position from the iteration, assuming that epochs are as long as now."""
    loader, share = runner.train_dataloader, order.partition(0)
    epoch, step = divmod(runner.iter, max(1, len(loader)))
    if not isinstance(runner.train_loop, IterBasedTrainLoop):
        epoch, step = runner.epoch, runner.iter - runner.epoch * len(loader)
        if not 0 <= step <= len(loader):  # batch size or world size changed: restart the epoch
            step = 0
    return {"seed": seed, "epoch": epoch, "consumed": share.consumed(step * (loader.batch_size or 1))}


def num_samples(batch: Any) -> int:
    """Return the number of samples in a batch of any collate function: the length of its first tensor or list.

    Example:
        >>> num_samples({"inputs": torch.zeros(4, 2)}), num_samples([[1, 2], [3, 4]])
        (4, 2)
    """
    while isinstance(batch, Mapping):
        batch = next(iter(batch.values()))
    while isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], (list, tuple, torch.Tensor)):
        batch = batch[0]
    return len(batch)


def stop_workers(loader: DataLoader) -> None:
    """Stop persistent workers. The loader starts new ones at its next use.

    Left to the garbage collector, which finds the loader of a Runner inside a cycle, each worker takes 5 s to stop: its
    queue is gone before it is notified, so torch waits for its timeout.
    """
    iterator = getattr(loader, "_iterator", None)
    if iterator is not None and hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()
        loader._iterator = None


@HOOKS.register_module()
class StopWorkersHook(Hook):
    """Stop the workers of every loader at the end of training, validation or testing."""

    # Other hooks may still use the loaders.
    priority = "LOWEST"

    def after_run(self, runner: Runner) -> None:
        """Stop the workers."""
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if isinstance(loop, BaseLoop) and isinstance(loop.dataloader, DataLoader):
                stop_workers(loop.dataloader)


@HOOKS.register_module()
class DatasetSummaryHook(Hook):
    """Log one line per loader when a run starts: `train: 45 clips, 3 signs, signers 01; no clips of signers 03`."""

    def before_run(self, runner: Runner) -> None:
        """Log the loaders that are built; those of loops that do not run are not."""
        for name in ("train", "val", "test"):
            loader = getattr(getattr(runner, f"_{name}_loop", None), "dataloader", None)
            text = "" if loader is None else describe_datasets(loader.dataset)
            if text:
                runner.logger.info(f"{name}: {text}")


def describe_datasets(dataset: Any) -> str:
    """Summarize a dataset, or the datasets that it wraps; empty if none has a summary."""
    leaves = [part for part in walk_datasets(dataset) if getattr(part, "summary", "")]
    text = " + ".join(
        leaf.summary + (f"; no clips of {leaf.unmatched_filters}" if leaf.unmatched_filters else "") for leaf in leaves
    )
    if not leaves or not hasattr(dataset, "__len__") or len(leaves) == 1 and len(leaves[0]) == len(dataset):
        return text
    return f"{pluralize(len(dataset), 'clip')} of {text}"
