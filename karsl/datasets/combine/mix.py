"""Datasets in given proportions, in random order, drawn anew in each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from karsl.datasets.combine.interleave import check_stop
from karsl.datasets.combine.leaves import in_row
from karsl.datasets.combine.permutation import permute
from karsl.datasets.combine.several import SeveralMembers
from karsl.datasets.rng import epoch_key, splitmix64
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS


@DATASETS.register_module()
class MixDataset(SeveralMembers):
    """Clips of several datasets in given proportions.

    The proportions hold in every epoch to the clip, not only on average. Which clips of a dataset are taken, and where they
    stand, is drawn from (seed, epoch): nothing is written down, so a mix of any length takes no memory.

    Args:
        datasets: Datasets or configs.
        weights: Shares of an epoch, positive, of any sum; None takes them alike.
        stop: `'first_exhausted'`: an epoch ends when one dataset has given every clip once; the others give as many as
            their share, other ones in each epoch. `'all_exhausted'`: it ends when every dataset has given every clip at
            least once; clips of the others come again, with other draws.
        kwargs: `lazy_init, ignore_keys, labels, aliases, seed` of SeveralMembers.

    Raises:
        ConfigError: Weights that are not one positive number a dataset.

    Source: the names of the two ways to stop are those of `interleave_datasets` of Hugging Face datasets.
    """

    redraws = True

    def __init__(
        self,
        datasets: Iterable[Any],
        weights: Sequence[float] | None = None,
        *,
        stop: str = "first_exhausted",
        **kwargs: Any,
    ) -> None:
        self.stop, datasets = check_stop(self, stop), list(datasets)
        given = [1.0] * len(datasets) if weights is None else list(weights)
        shares = np.asarray([w if isinstance(w, Real) else -1 for w in given], dtype=np.float64)
        if len(shares) != len(datasets) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ConfigError(
                f"{type_name(self)}: weights={weights!r} for {len(datasets)} datasets; expected one positive number for each"
            )
        self.weights = tuple((shares / shares.sum()).tolist())
        super().__init__(datasets, **kwargs)

    def locate(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = epoch_key(self._epoch_state.seed or 0, self._epoch_state.epoch)
        members, turns = in_row(self._turns, permute(places, self._length, key=key))
        inner = np.empty(len(places), np.int64)
        for number, length in enumerate(self._lengths.tolist()):
            mine = np.flatnonzero(members == number)
            if len(mine):
                inner[mine] = _clips_of_turns(turns[mine], length, splitmix64(key ^ (number + 1)))
        return members, inner

    def _count(self, lengths: np.ndarray) -> int:
        self._turns = mixed_turns(lengths, np.array(self.weights), self.stop)
        return int(self._turns.sum())

    def _describe(self) -> str:
        weights = ", ".join(f"{w:.3g}" for w in self.weights)
        return ", ".join(filter(None, [f"weights=({weights}), stop={self.stop!r}", super()._describe()]))


def mixed_turns(lengths: np.ndarray, weights: np.ndarray, stop: str) -> np.ndarray:
    """int64 (k,), how many clips each dataset gives to an epoch.

    Example:
        >>> mixed_turns(np.array([100, 10]), np.array([0.5, 0.5]), "first_exhausted")
        array([10, 10])
        >>> mixed_turns(np.array([100, 10]), np.array([0.75, 0.25]), "all_exhausted")
        array([100,  34])
    """
    sizes = lengths / weights  # of an epoch in which a dataset gives each clip once
    if stop == "first_exhausted":
        return np.maximum(1, np.floor(weights * sizes.min() + 1e-9)).astype(np.int64)
    return np.ceil(weights * sizes.max() - 1e-9).astype(np.int64)


def _clips_of_turns(turns: np.ndarray, length: int, key: int) -> np.ndarray:
    """Each clip once before any comes again; every round in another order."""
    rounds, found = turns // length, np.empty(len(turns), np.int64)
    for number in sorted(set(rounds.tolist())):
        here = rounds == number
        found[here] = permute(turns[here] % length, length, key=splitmix64(key ^ number))
    return found
