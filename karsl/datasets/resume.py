"""How far a run has come in an epoch's order, kept where workers see it, and an iterator that can say and take it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from operator import length_hint
from typing import Any, Protocol

import numpy as np
from mmengine.dist import get_dist_info, is_distributed, sync_random_seed
from torch.utils.data import get_worker_info
from xxhash import xxh3_64_intdigest

from karsl.checks import check_int
from karsl.datasets.partition import MODES, Share, worker_batches
from karsl.datasets.state import SharedInts
from karsl.errors import ConfigError

_SEED, _EPOCH, _START, _CONSUMED, _BATCH, _RANK, _WORLD, _GIVEN = range(8)
RUN = 256  # clips listed at a time where nobody says how long a batch is
STATE_KEYS = ("seed", "epoch", "consumed")


class Order(Protocol):
    """The clips of one epoch in order."""

    def __len__(self) -> int: ...

    def places(self, positions: np.ndarray) -> np.ndarray:
        """The clips at some positions, int64."""
        ...


class Resumable(ABC):
    """An order of clips that can be left at any clip and gone on with, by any number of ranks and workers.

    Its state is `seed`, `epoch` and one integer, `consumed`: the clips that all ranks together were trained on; `order` says
    which clips and options that belongs to. Workers run
    ahead, so the loop says how far it is: `advance(len(batch))` after each batch (`ResumeHook` does, with MMEngine's
    Runner). Ranks and their number are those of `torch.distributed` when the epoch begins.

    Args:
        seed: Of the order; None takes that of `set_epoch`, until then one that all ranks agree on.
        mode: `'pad'`, `'drop'` or `'uneven'`, see `karsl.datasets.partition.Share`.

    Raises:
        ConfigError: An unknown mode, or a seed that is not a whole number of 0 to 2**63 - 1.
    """

    def __init__(self, *, seed: int | None, mode: str) -> None:
        if mode not in MODES:
            raise ConfigError(f"{type(self).__name__}: mode={mode!r}; expected one of {', '.join(MODES)}")
        check_int(type(self).__name__, seed=seed or 0)
        self.mode = mode
        number = sync_random_seed() if seed is None else seed
        self._progress = SharedInts([number, 0, 0, 0, 0, 0, 1, seed is not None])
        self._find_rank()

    @abstractmethod
    def order(self, seed: int, epoch: int) -> Order:
        """The clips of an epoch."""

    @property
    @abstractmethod
    def total(self) -> int:
        """Clips of an epoch, over all ranks."""

    def options(self) -> tuple:
        """What besides seed and epoch shapes the order: numbers and strings."""
        return ()

    @property
    def signature(self) -> int:
        """A number of the clips and options: another one is another order."""
        return xxh3_64_intdigest(repr((type(self).__name__, self.total, *self.options())).encode()) >> 1

    def _find_rank(self) -> None:
        if get_worker_info() is None or is_distributed():  # a worker that was forked has the groups of its rank
            self._progress[_RANK], self._progress[_WORLD] = get_dist_info()

    @property
    def seed(self) -> int:
        """Of the order."""
        return self._progress[_SEED]

    @seed.setter
    def seed(self, value: int) -> None:
        self._progress[_SEED], self._progress[_GIVEN] = value, 1

    @property
    def epoch(self) -> int:
        """The epoch whose order is dealt out."""
        return self._progress[_EPOCH]

    @property
    def consumed(self) -> int:
        """Clips of the epoch that all ranks together were trained on."""
        return self._progress[_CONSUMED]

    @property
    def batch_size(self) -> int | None:
        """Of the loader, where it was said."""
        return self._progress[_BATCH] or None

    @batch_size.setter
    def batch_size(self, value: int | None) -> None:
        check_int(type(self).__name__, low=1, batch_size=1 if value is None else value)
        self._progress[_BATCH] = value or 0

    def set_epoch(self, epoch: int, seed: int | None = None) -> None:
        """Go to an epoch; another than the present one begins at its first clip.

        Args:
            epoch: 0 or more.
            seed: Taken if none was given yet.

        Raises:
            ConfigError: Not a whole number of 0 to 2**63 - 1.
        """
        check_int("set_epoch", epoch=epoch, seed=seed or 0)
        self._find_rank()
        if seed is not None and not self._progress[_GIVEN]:
            self.seed = seed
        if epoch != self.epoch:
            self._progress[_EPOCH] = epoch
            self.skip(0)

    def skip(self, consumed: int) -> None:
        """Begin the epoch after its first clips.

        Args:
            consumed: Clips of the epoch's order, over all ranks.

        Raises:
            ConfigError: More than the epoch has, or fewer than none.
        """
        if not 0 <= consumed <= self.total:
            raise ConfigError(
                f"{type(self).__name__}: {consumed} clips consumed of an epoch of {self.total}; is it this dataset?"
            )
        self._progress[_START] = self._progress[_CONSUMED] = consumed

    def advance(self, clips: int) -> None:
        """Say that this rank was trained on some more clips, and every other rank on as many.

        Raises:
            ConfigError: Not a whole number of 0 or more.
        """
        check_int(f"{type(self).__name__}.advance", clips=clips)
        share = self.share()
        done = (self.consumed - share.start) // share.world + clips
        self._progress[_CONSUMED] = share.consumed(done)

    def state_dict(self) -> dict[str, int]:
        """`seed`, `epoch`, `consumed` and `order`, the same on every rank."""
        return {"seed": self.seed, "epoch": self.epoch, "consumed": self.consumed, "order": self.signature}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a state, whatever the number of ranks and workers was.

        Raises:
            ConfigError: Keys are missing, or clips or options have changed since.
        """
        missing = [key for key in STATE_KEYS if key not in state]
        if missing:
            raise ConfigError(f"{type(self).__name__}: a state without {missing}; expected {', '.join(STATE_KEYS)}")
        if state.get("order", self.signature) != self.signature:
            raise ConfigError(
                f"{type(self).__name__}: the state is of other clips or options than these {self.total}, so nobody can say "
                "which clips it has seen; give what it was made with, or begin its epoch anew without it"
            )
        self.seed = int(state["seed"])
        self.set_epoch(int(state["epoch"]))
        self.skip(int(state["consumed"]))

    def share(self, start: int | None = None) -> Share:
        """What of the epoch this rank takes, from where the pass began or another start."""
        told = self._progress.tolist()
        start = told[_START] if start is None else start
        return Share(self.total, world=told[_WORLD], rank=told[_RANK], start=start, mode=self.mode)

    def __len__(self) -> int:
        """Clips that this rank gets in a whole epoch."""
        self._find_rank()
        return len(self.share(0))

    def __getstate__(self) -> dict:
        self._find_rank()  # a worker that is spawned cannot
        return self.__dict__


class OrderIterator(Iterator):
    """One pass over what a rank, or a worker of it, takes; batch after batch.

    Args:
        owner: Whose order it is.
        batch_size: Clips that a worker takes in a row.
        num_workers, worker: Workers of this rank, and which one this is.
    """

    def __init__(self, owner: Resumable, *, batch_size: int | None = None, num_workers: int = 1, worker: int = 0) -> None:
        self._owner, self._batch_size = owner, batch_size or RUN
        self._num_workers, self._worker = num_workers, worker
        self._begin(owner.seed, owner.epoch, owner.share().start)

    def _begin(self, seed: int, epoch: int, start: int, done: int = 0) -> None:
        self._seed, self._epoch = seed, epoch
        self._order, self._share = self._owner.order(seed, epoch), self._owner.share(start)
        spans = worker_batches(len(self._share), self._batch_size, num_workers=self._num_workers, worker=self._worker)
        self._spans = ((max(first, done), stop) for first, stop in spans if stop > done)
        self._items: Iterator[Any] = iter(())
        self._stop = done  # of the items listed last

    def _listed(self, first: int, stop: int) -> Sequence[Any]:
        return self._order.places(self._share.positions(first, stop)).tolist()

    def __next__(self) -> Any:
        for item in self._items:
            return item
        first, stop = next(self._spans)
        self._items, self._stop = iter(self._listed(first, stop)), stop
        return next(self._items)

    def state_dict(self) -> dict[str, int]:
        """Where this pass is; for torchdata's StatefulDataLoader, which asks each worker."""
        done = self._stop - length_hint(self._items)
        return {"seed": self._seed, "epoch": self._epoch, "start": self._share.start, "done": done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there, with as many ranks and workers as there were."""
        self._begin(state["seed"], state["epoch"], state["start"], state["done"])
