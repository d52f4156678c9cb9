"""Resumable iteration over an epoch, with a position shared with workers and `state_dict` / `load_state_dict`."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from operator import length_hint
from typing import Any, Protocol

import numpy as np
from mmengine.dist import get_dist_info, is_distributed, sync_random_seed
from torch.utils.data import get_worker_info
from xxhash import xxh3_64_intdigest

from karsl.checks import check_int
from karsl.datasets.order.permutation import REMAINDERS, RankPartition, split_batches
from karsl.datasets.state import SharedInts
from karsl.errors import BatchLostError, ConfigError, pluralize

RUN_LENGTH = 256  # indices computed at a time while the batch size is unknown
_SEED, _EPOCH, _START, _CONSUMED, _BATCH_SIZE, _RANK, _WORLD_SIZE, _HAS_SEED = range(8)
_REQUESTED, _FINISHED, _LOADED = range(3)
_NO_EPOCH = -1
_MAX_WAIT_S = 60
_STATE_KEYS = ("seed", "epoch", "consumed")


class IndexOrder(Protocol):
    """Clip indices of one epoch in order."""

    def __len__(self) -> int: ...

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the clip index at each position, int64 (N,)."""
        ...


class ResumableOrder(ABC):
    """Base of samplers and streams whose epoch can be interrupted at any clip and resumed with any number of ranks and
    workers.

    The state is `seed`, `epoch` and `consumed`, the number of clips that all ranks together were trained on, and `order`, a
    hash of the clips and options it belongs to. Workers prefetch, so the training loop reports its progress: call
    `advance(len(batch))` after each batch (`ResumeHook` does so in MMEngine's Runner). Rank and world size are those of
    `torch.distributed` at the start of the epoch.

    Args:
        seed: Random seed of the order. None uses the seed of the first `set_epoch`, until then one that all ranks agree on.
        remainder: `'pad'`, `'drop'` or `'uneven'`, see `karsl.datasets.order.permutation.RankPartition`.

    Raises:
        ConfigError: If `remainder` is unknown or the seed is not an integer from 0 to 2**63 - 1.
    """

    def __init__(self, *, seed: int | None, remainder: str) -> None:
        if remainder not in REMAINDERS:
            raise ConfigError(f"{type(self).__name__}: remainder={remainder!r}; expected one of {', '.join(REMAINDERS)}")
        check_int(type(self).__name__, seed=seed or 0)
        self.remainder = remainder
        initial_seed = sync_random_seed() if seed is None else seed
        self._progress = SharedInts([initial_seed, 0, 0, 0, 0, 0, 1, seed is not None])
        # that of the last `set_epoch`; one that was finished when it was saved; the pass whose workers know whether it was
        self._epochs = SharedInts([0, _NO_EPOCH, 0])
        self._update_rank()

    @abstractmethod
    def order(self, seed: int, epoch: int) -> IndexOrder:
        """Return the order of an epoch."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Number of clips per epoch, over all ranks."""

    def options(self) -> tuple:
        """Return the numbers and strings besides seed and epoch that determine the order."""
        return ()

    @property
    def signature(self) -> int:
        """Hash of the clips and options; a different value means a different order."""
        return xxh3_64_intdigest(repr((type(self).__name__, self.total, *self.options())).encode()) >> 1

    def _update_rank(self) -> None:
        if get_worker_info() is None or is_distributed():  # a forked worker has the process groups of its rank
            self._progress[_RANK], self._progress[_WORLD_SIZE] = get_dist_info()

    @property
    def seed(self) -> int:
        """Random seed of the order."""
        return self._progress[_SEED]

    @seed.setter
    def seed(self, value: int) -> None:
        self._progress[_SEED], self._progress[_HAS_SEED] = value, 1

    @property
    def epoch(self) -> int:
        """Current epoch."""
        return self._progress[_EPOCH]

    @property
    def consumed(self) -> int:
        """Number of clips of the epoch that all ranks together were trained on."""
        return self._progress[_CONSUMED]

    @property
    def batch_size(self) -> int | None:
        """Batch size of the loader, None if unknown."""
        return self._progress[_BATCH_SIZE] or None

    @batch_size.setter
    def batch_size(self, value: int | None) -> None:
        check_int(type(self).__name__, low=1, batch_size=1 if value is None else value)
        self._progress[_BATCH_SIZE] = value or 0

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Set the epoch; a different epoch starts at its first clip.

        Args:
            epoch: Epoch number, at least 0.
            seed: Random seed, used if none was set before.

        Raises:
            ConfigError: If a number is not an integer from 0 to 2**63 - 1.
        """
        check_int("set_epoch", epoch=epoch, seed=seed or 0)
        self._update_rank()
        if seed is not None and not self._progress[_HAS_SEED]:
            self.seed = seed
        self._epochs[_REQUESTED] = epoch
        if epoch != self.epoch:
            self.finished_epoch = None
        self._start_epoch(epoch)

    def _start_epoch(self, epoch: int) -> None:
        """Move to an epoch, unless it is the current one; the seed is set before."""
        if epoch != self.epoch:
            self._progress[_EPOCH] = epoch
            self.skip(0)

    @property
    def requested_epoch(self) -> int:
        """Epoch of the last `set_epoch`; a state that is loaded later does not change it."""
        return self._epochs[_REQUESTED]

    @property
    def finished_epoch(self) -> int | None:
        """Epoch of a loaded state of which no clip was left; a new pass starts the one after it."""
        epoch = self._epochs[_FINISHED]
        return None if epoch == _NO_EPOCH else epoch

    @finished_epoch.setter
    def finished_epoch(self, epoch: int | None) -> None:
        self._epochs[_FINISHED] = _NO_EPOCH if epoch is None else epoch

    def announce_finished(self, epoch: int | None) -> None:
        """Set `finished_epoch`, for the other workers of a pass that wait for it."""
        self.finished_epoch = epoch
        self._epochs[_LOADED] = _pass_seed()

    def await_finished(self) -> None:
        """Wait until the worker of the last batch has loaded its state, as each worker does at the start of a pass.

        Raises:
            BatchLostError: If it does not within a minute.
        """
        deadline = time.monotonic() + _MAX_WAIT_S
        while self._epochs[_LOADED] != _pass_seed():
            if time.monotonic() > deadline:
                raise BatchLostError(
                    f"another worker did not load its state within {_MAX_WAIT_S} s; see its error, and start again"
                )
            time.sleep(0.002)

    def start_next_epoch(self, finished: int) -> None:
        """Start the requested epoch if it is later than a finished one, else the next."""
        self._start_epoch(max(self.requested_epoch, finished + 1))

    def skip(self, consumed: int) -> None:
        """Start the epoch after its first `consumed` clips, counted over all ranks.

        Raises:
            ConfigError: If `consumed` is negative or more than the epoch has.
        """
        if not 0 <= consumed <= self.total:
            raise ConfigError(
                f"{type(self).__name__}: cannot skip {pluralize(consumed, 'clip')} of an epoch "
                f"of {self.total}; check that the dataset "
                "is the same as before"
            )
        self._progress[_START] = self._progress[_CONSUMED] = consumed

    def advance(self, clips: int) -> None:
        """Report that this rank, and every other rank, was trained on `clips` more clips.

        Raises:
            ConfigError: If `clips` is not an integer of at least 0.
        """
        check_int(f"{type(self).__name__}.advance", clips=clips)
        partition = self.partition()
        done = (self.consumed - partition.start) // partition.world_size + clips
        self._progress[_CONSUMED] = partition.consumed(done)

    def state_dict(self) -> dict[str, int]:
        """Return `seed`, `epoch`, `consumed` and `order`; equal on all ranks."""
        return {"seed": self.seed, "epoch": self.epoch, "consumed": self.consumed, "order": self.signature}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a state, saved with any number of ranks and workers.

        Raises:
            ConfigError: If keys are missing or the state belongs to other clips or options.
        """
        missing = [key for key in _STATE_KEYS if key not in state]
        if missing:
            raise ConfigError(f"{type(self).__name__}: state has no {missing}; expected {', '.join(_STATE_KEYS)}")
        if state.get("order", self.signature) != self.signature:
            raise ConfigError(
                f"{type(self).__name__}: the state does not match these options and "
                f"{pluralize(self.total, 'clip')}, or was saved "
                "by another sampler; restore the original ones or start the epoch without a state"
            )
        check_int(f"{type(self).__name__}: a state", **{key: state[key] for key in _STATE_KEYS})
        self._update_rank()
        self.seed = int(state["seed"])
        self._start_epoch(int(state["epoch"]))
        self.skip(int(state["consumed"]))

    def partition(self, start: int | None = None) -> RankPartition:
        """Return the partition of this rank from `start` on. None is where the current pass started."""
        progress = self._progress.tolist()
        return RankPartition(
            self.total,
            world_size=progress[_WORLD_SIZE],
            rank=progress[_RANK],
            start=progress[_START] if start is None else start,
            remainder=self.remainder,
        )

    def __len__(self) -> int:
        """Number of clips of this rank in a complete epoch."""
        self._update_rank()
        return len(self.partition(0))

    def __getstate__(self) -> dict:
        self._update_rank()  # a spawned worker has no process group
        return self.__dict__


def _pass_seed() -> int:
    """Return a number that the workers of one pass of a loader share."""
    worker = get_worker_info()
    return 0 if worker is None else worker.seed - worker.id


class OrderIterator(Iterator):
    """One pass over the clips of a rank, or of a worker of it, batch by batch.

    Args:
        resumable: Provides the order and the partition.
        batch_size: Number of consecutive clips per worker.
        num_workers: Number of workers of this rank.
        worker: Index of this worker.
    """

    def __init__(
        self, resumable: ResumableOrder, *, batch_size: int | None = None, num_workers: int = 1, worker: int = 0
    ) -> None:
        self._resumable, self._batch_size = resumable, batch_size or RUN_LENGTH
        self._num_workers, self._worker = num_workers, worker
        self._is_new, self._is_restored = True, False
        self._start_pass(resumable.seed, resumable.epoch, resumable.partition().start)

    def _start_pass(self, seed: int, epoch: int, start: int, done: int = 0) -> None:
        self._seed, self._epoch = seed, epoch
        self._order, self._partition = self._resumable.order(seed, epoch), self._resumable.partition(start)
        spans = split_batches(len(self._partition), self._batch_size, num_workers=self._num_workers, worker=self._worker)
        self._spans = ((max(first, done), stop) for first, stop in spans if stop > done)
        self._items: Iterator[Any] = iter(())
        self._stop = done  # end of the span in `_items`

    def _indices(self, first: int, stop: int) -> np.ndarray:
        return self._order.indices(self._partition.positions(first, stop))

    def _load_span(self, first: int, stop: int) -> Sequence[Any]:
        """Return the items `first` to `stop` of this rank."""
        return self._indices(first, stop).tolist()

    def __next__(self) -> Any:
        for item in self._items:
            return item
        self._skip_finished_epoch()
        span = next(self._spans, None)
        if span is None:
            if self._is_restored and self._has_last_batch and self._resumable.requested_epoch > self._epoch:
                self._resumable.finished_epoch = self._epoch  # of a state that was saved some batches earlier
            raise StopIteration
        self._items, self._stop = iter(self._load_span(*span)), span[1]
        return next(self._items)

    def _skip_finished_epoch(self) -> None:
        """Start the next epoch in a new pass, if a loaded state had no clip of this one left.

        Only when the first clip or the state is requested: torchdata makes an iterator before it loads its state.
        """
        if self._is_new and self._is_restored and not self._has_last_batch:
            self._resumable.await_finished()
        if self._is_new and self._resumable.finished_epoch == self._epoch:
            self._resumable.start_next_epoch(self._epoch)
            if self._is_restored:  # the loader continues with the worker after that of the last batch
                self._worker = (self._worker - self._num_batches) % self._num_workers
            self._start_pass(self._seed, self._resumable.epoch, 0)
        self._is_new = False

    @property
    def _num_batches(self) -> int:
        """Number of batches of all workers in this pass."""
        return -(-len(self._partition) // self._batch_size)

    @property
    def _has_last_batch(self) -> bool:
        """True for the worker of the last batch, before which a loader returns all others."""
        return (self._num_batches - 1) % self._num_workers == self._worker

    def state_dict(self) -> dict[str, int]:
        """Return the position of this pass; torchdata's StatefulDataLoader requests it from each worker."""
        self._skip_finished_epoch()
        done = self._stop - length_hint(self._items)
        place = {"start": self._partition.start, "done": done, "worker": self._worker}
        return {"seed": self._seed, "epoch": self._epoch, **place}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume a pass, with the same numbers of ranks and workers."""
        self._worker = state.get("worker", self._worker)
        self._start_pass(state["seed"], state["epoch"], state["start"], state["done"])
        last = self._num_batches - 1 - (self._num_batches - 1 - self._worker) % self._num_workers  # own last batch
        is_finished, self._is_restored = state["done"] >= min((last + 1) * self._batch_size, len(self._partition)), True
        if self._has_last_batch:  # only this worker knows that the other ones are finished, too
            self._resumable.announce_finished(self._epoch if is_finished else None)
        self._is_new = is_finished and self._resumable.requested_epoch > self._epoch
