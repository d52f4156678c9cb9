"""Resumable samplers, which prefetch from disk the clips that they return next."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Sized
from contextlib import suppress
from threading import Thread
from typing import Any

import numpy as np
from mmengine.logging import print_log
from torch.utils.data import Sampler

from karsl.datasets.order.permutation import EpochPermutation, random_ints
from karsl.datasets.order.resumable import RUN_LENGTH, OrderIterator, ResumableOrder
from karsl.datasets.rng import hash_name
from karsl.datasets.tree import file_ranges
from karsl.errors import ConfigError, pluralize
from karsl.io.readahead import advise, is_in_memory
from karsl.registry import DATA_SAMPLERS

_ROUNDS, _CLIPS = hash_name("turns of classes"), hash_name("clips of a class")
_PROBES = 32  # per run; if these are in memory, nearly all of the run is
_PAUSE = 8  # runs until the next check after a run that was in memory


def prefetch(dataset: Any, indices: np.ndarray) -> bool:
    """Start reading clips of packs and mapped files into memory, in the background, unless they are there already.

    Args:
        dataset: Any dataset or tree of datasets.
        indices: int64 (N,), each in [0, len(dataset)).

    Returns:
        True if something has to be read.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file does not match the index.
    """
    probes = file_ranges(dataset, indices[:: len(indices) // _PROBES + 1])
    if not probes or is_in_memory(probes):
        return False
    Thread(target=advise, args=(file_ranges(dataset, indices),), name="prefetch", daemon=True).start()
    return True


class PrefetchIterator(OrderIterator):
    """A pass that prefetches each run of clips from disk one run before it is returned.

    Workers profit because the page cache is shared by all processes. After a run that was in memory, `_PAUSE` runs are not
    checked.

    Args:
        resumable, batch_size: See `OrderIterator`.
        dataset: Dataset whose clips are prefetched.
    """

    def __init__(self, resumable: ResumableOrder, dataset: Any, *, batch_size: int) -> None:
        self._dataset = dataset
        super().__init__(resumable, batch_size=batch_size)

    def _start_pass(self, seed: int, epoch: int, start: int, done: int = 0) -> None:
        self._prefetched = self._paused_until = done
        super()._start_pass(seed, epoch, start, done)

    def _load_span(self, first: int, stop: int) -> Sequence[Any]:
        begin, end = max(first, self._prefetched), min(2 * stop - first, len(self._partition))
        if self._paused_until <= first and begin < end:
            self._prefetched = end
            if not self._prefetch(begin, end):
                self._paused_until = first + _PAUSE * (stop - first)
        return super()._load_span(first, stop)

    def _prefetch(self, begin: int, end: int) -> bool:
        try:
            return prefetch(self._dataset, self._indices(begin, end))
        except Exception as error:  # prefetching is optional; the batch that reads the clip raises
            print_log(f"clips are not prefetched: {error!r}", logger="current", level=logging.DEBUG)
            return False


class BaseSampler(ResumableOrder, Sampler[int]):
    """Base of samplers; a subclass implements `order(seed, epoch)`.

    MMEngine builds it with the dataset and the seed of the run, and calls `set_epoch` before each epoch.

    Args:
        dataset: Any dataset with a length.
        seed: Random seed. None uses one that all ranks agree on.
        remainder: Treatment of clips that do not divide evenly over the ranks: `'pad'` repeats a few clips, `'drop'` leaves
            a few out, `'uneven'` gives each clip exactly once.
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, remainder: str = "pad") -> None:
        self.dataset = dataset
        super().__init__(seed=seed, remainder=remainder)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({pluralize(self.total, 'clip')}, seed={self.seed}, epoch={self.epoch})"

    @property
    def total(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        self._update_rank()
        return PrefetchIterator(self, self.dataset, batch_size=max(RUN_LENGTH, self.batch_size or 0))

    def column(self, key: str, purpose: str) -> np.ndarray:
        """Return one integer per record, from the columns of the dataset if it has them.

        Args:
            key: Record key.
            purpose: Completes "needed to ..." in the error message.

        Returns:
            int64 (n,).

        Raises:
            ConfigError: If the records have no such key.
        """
        dataset: Any = self.dataset
        with suppress(AttributeError, KeyError):  # no columns, or not this one
            return np.asarray(dataset.column(key), dtype=np.int64)
        try:
            return np.array([dataset.get_data_info(index)[key] for index in range(len(dataset))], dtype=np.int64)
        except (AttributeError, KeyError) as error:
            raise ConfigError(
                f"{type(self).__name__}: records of {type(dataset).__name__} have no {key!r}, which is needed to {purpose}"
            ) from error


class FixedOrder:
    """An order given by an array.

    Args:
        indices: int64 (n,).
    """

    def __init__(self, indices: np.ndarray) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the clip index at each position, int64 (N,)."""
        return self._indices[positions]


@DATA_SAMPLERS.register_module()
class ResumableSampler(BaseSampler):
    """Each clip once per epoch, in random order.

    Args:
        dataset, seed, remainder: See `BaseSampler`.
        shuffle: False returns the clips in the order of the dataset.

    Example:
        >>> sampler = ResumableSampler(range(6), seed=0)
        >>> epoch = list(sampler)
        >>> sampler.advance(2)  # trained on a batch of two
        >>> resumed = ResumableSampler(range(6))
        >>> resumed.load_state_dict(sampler.state_dict())
        >>> list(resumed) == epoch[2:]
        True
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, shuffle: bool = True, remainder: str = "pad") -> None:
        super().__init__(dataset, seed=seed, remainder=remainder)
        self.shuffle = shuffle

    def options(self) -> tuple:
        return (self.shuffle,)

    def order(self, seed: int, epoch: int) -> EpochPermutation:
        return EpochPermutation(self.total, seed=seed, epoch=epoch, shuffle=self.shuffle)


@DATA_SAMPLERS.register_module()
class BlockShuffleSampler(BaseSampler):
    """Blocks of consecutive clips in random order, shuffled within a window of blocks, for packs larger than memory.

    A window takes `window` blocks from random parts of the pack and shuffles their clips. Each block is read from disk in
    one run.

    Args:
        dataset, seed, remainder: See `BaseSampler`.
        block_size: Number of consecutive clips that are read together; 64 clips of KArSL are 3.6 MB of float16.
        window: Number of blocks that are shuffled together. Their clips should fit into memory; a larger window is closer to
            a full shuffle.

    Raises:
        ConfigError: If `block_size` or `window` is less than 1.

    Example:
        >>> sampler = BlockShuffleSampler(range(1000), seed=0, block_size=10, window=20)
        >>> sorted(sampler) == list(range(1000)), len({index // 10 for index in list(sampler)[:200]}) < 45
        (True, True)
    """

    def __init__(
        self, dataset: Sized, *, seed: int | None = None, block_size: int = 64, window: int = 32, remainder: str = "pad"
    ) -> None:
        if block_size < 1 or window < 1:
            raise ConfigError(f"BlockShuffleSampler: block_size={block_size}, window={window}; expected at least 1")
        super().__init__(dataset, seed=seed, remainder=remainder)
        self.block_size, self.window = block_size, window

    def options(self) -> tuple:
        return self.block_size, self.window

    def order(self, seed: int, epoch: int) -> EpochPermutation:
        sizes = np.diff(np.append(np.arange(0, self.total, self.block_size), self.total))
        return EpochPermutation(sizes, seed=seed, epoch=epoch, window=self.block_size * self.window)


@DATA_SAMPLERS.register_module()
class LengthBucketSampler(BaseSampler):
    """Each clip once per epoch, with clips of similar length in one batch, which reduces padding.

    The clips of an epoch are shuffled, sorted by length within windows of `window` batches, and cut into batches; then the
    batches of all ranks are shuffled. `keypoint_collate(pad=True)` pads each batch to its longest clip.

    Args:
        dataset, seed, remainder: See `BaseSampler`. Records need `num_frames`.
        batch_size: Batch size of the loader of each rank.
        window: Number of batches that are sorted together. A larger window means less padding and less randomness.

    Raises:
        ConfigError: If the records have no `num_frames` or a number is less than 1.
    """

    def __init__(
        self, dataset: Sized, *, batch_size: int, seed: int | None = None, window: int = 32, remainder: str = "pad"
    ) -> None:
        if batch_size < 1 or window < 1:
            raise ConfigError(f"LengthBucketSampler: batch_size={batch_size}, window={window}; expected at least 1")
        super().__init__(dataset, seed=seed, remainder=remainder)
        self.batch_size, self.window = batch_size, window
        self._resumed = (-1, 0)  # epoch and step of a loaded state
        self._lengths = self.column("num_frames", "group clips by length")

    def options(self) -> tuple:
        return (self.window,)

    def state_dict(self) -> dict[str, int]:
        return super().state_dict() | {"step": self._step(self.epoch)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        super().load_state_dict(state)
        self._resumed = (int(state["epoch"]), int(state["step"])) if "step" in state else (-1, 0)

    def _step(self, epoch: int) -> int:
        """Return the number of clips per step over all ranks; a resumed epoch keeps the one that shaped its order."""
        resumed_epoch, step = self._resumed
        return step if resumed_epoch == epoch else (self.batch_size or 1) * self.partition().world_size

    def order(self, seed: int, epoch: int) -> FixedOrder:
        total, step = self.total, self._step(epoch)
        shuffled = EpochPermutation(total, seed=seed, epoch=epoch).indices(np.arange(total))
        window = np.arange(total) // (step * self.window)
        ordered = shuffled[np.lexsort((self._lengths[shuffled], window))]
        num_full = total // step  # the last, smaller batch stays last
        full, rest = ordered[: num_full * step].reshape(-1, step), ordered[num_full * step :]
        batches = EpochPermutation(num_full, seed=seed, epoch=epoch).indices(np.arange(num_full))
        return FixedOrder(np.concatenate([full[batches].ravel(), rest]))


@DATA_SAMPLERS.register_module()
class ClassBalancedSampler(BaseSampler):
    """Each class equally often, up to one clip; clips of small classes are repeated, each equally often.

    An epoch has as many clips as the dataset. It consists of rounds with one clip of each class in random order. Each class
    passes through its clips in random order and continues in the next epoch where it stopped.

    Args:
        dataset, seed, remainder: See `BaseSampler`. Records need a `label`.

    Raises:
        ConfigError: If the records have no label.
    """

    def __init__(self, dataset: Sized, *, seed: int | None = None, remainder: str = "pad") -> None:
        super().__init__(dataset, seed=seed, remainder=remainder)
        labels = self.column("label", "balance classes")
        self._by_class = np.argsort(labels, kind="stable")
        self._sizes = np.unique(labels, return_counts=True)[1]
        self._starts = np.cumsum(self._sizes) - self._sizes

    def order(self, seed: int, epoch: int) -> FixedOrder:
        total, num_classes = self.total, len(self._sizes)
        if not total:
            return FixedOrder(np.zeros(0, np.int64))
        rounds = -(-total // num_classes)
        values = random_ints(np.arange(rounds * num_classes), seed=seed, epoch=epoch, purpose=_ROUNDS)
        label = np.argsort(values.reshape(rounds, num_classes), axis=1).ravel()[:total]
        round_number = epoch * rounds + np.arange(total) // num_classes  # counted over all epochs
        pass_number, offset = np.divmod(round_number, self._sizes[label])
        pairs, pair_of_clip = np.unique(pass_number * num_classes + label, return_inverse=True)
        passes, labels = np.divmod(pairs, num_classes)  # all passes of all classes that this epoch needs, by pass
        sizes = self._sizes[labels]
        starts = np.cumsum(sizes) - sizes
        rows = np.arange(sizes.sum()) + np.repeat(self._starts[labels] - starts, sizes)
        values = _random_per_pass(seed, np.repeat(passes, sizes), rows)
        shuffled = np.lexsort((values, np.repeat(np.arange(len(pairs)), sizes)))
        return FixedOrder(self._by_class[rows[shuffled[starts[pair_of_clip] + offset]]])


def _random_per_pass(seed: int, passes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return a random uint64 for each row in its pass; `passes` is sorted."""
    starts = np.flatnonzero(np.diff(passes, prepend=-1))
    groups = zip(passes[starts].tolist(), np.split(rows, starts[1:]), strict=True)
    return np.concatenate([random_ints(group, seed=seed, epoch=number, purpose=_CLIPS) for number, group in groups])
