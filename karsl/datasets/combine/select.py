"""Wrappers that choose indices of a dataset: slice, shuffle, repeat, class-balanced."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from karsl.checks import check_int
from karsl.datasets.combine.base import SingleWrapper, wrap
from karsl.datasets.index.indices import Indices, SharedIndices, as_range, resolve_indices
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.datasets.order.permutation import permute
from karsl.datasets.rng import epoch_key, hash_name, splitmix64
from karsl.datasets.tree import leaf_datasets
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS

_SHUFFLE_ID = hash_name("ShuffleDataset")


def as_indices(indices: range | np.ndarray) -> range | SharedIndices:
    """Return indices as a range, or in memory that all processes share."""
    found = as_range(indices)
    return found if isinstance(found, range) else SharedIndices(np.asarray(found, dtype=np.int64))


def take(indices: range | SharedIndices, positions: np.ndarray) -> np.ndarray:
    """Return entries of `as_indices(...)`, int64 (N,).

    Args:
        indices: The indices.
        positions: int64 (N,), positions of the entries.
    """
    if isinstance(indices, range):
        return indices.start + indices.step * positions
    return indices.array[positions]


@DATASETS.register_module()
class SliceDataset(SingleWrapper):
    """Some clips of a dataset, in any order and with repetitions; the indices are shared by all processes.

    Args:
        dataset: Dataset or config.
        indices: First n, last -n, a slice, indices, or a mask; see `resolve_indices`. In a config,
            `dict(start=0, stop=10, step=2)` is a slice.
        allow_reshuffled: Allow a dataset below whose indices are other clips in each epoch, so that the slice has other
            clips in each epoch too.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If indices below are other clips in each epoch: two slices would exchange clips.
    """

    def __init__(
        self,
        dataset: Any,
        indices: Indices | dict,
        *,
        allow_reshuffled: bool = False,
        lazy_init: bool = False,
        seed: int | None = None,
    ) -> None:
        self._argument = (
            slice(*(indices.get(k) for k in ("start", "stop", "step"))) if isinstance(indices, dict) else indices
        )
        self._allow_reshuffled = allow_reshuffled
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        if not (self._allow_reshuffled or self.allow_empty):
            self._check_fixed_order(", or set allow_reshuffled=True to get other clips in each epoch")
        self._indices = as_indices(resolve_indices(self._argument, int(self._lengths[0])))

    @property
    def allow_empty(self) -> bool:  # type: ignore[override]
        """True if no clip was asked for."""
        return isinstance(self._argument, int) and self._argument == 0

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        return take(self._indices, indices)

    def _num_samples(self, lengths: np.ndarray) -> int:
        return len(self._indices)

    def _describe(self) -> str:
        if isinstance(self._argument, (int, slice, range)):
            return repr(self._argument)
        return f"{len(self._argument) if self._argument is not None else len(self._indices)} indices"

    def __getstate__(self) -> dict:
        """Leave out the list that was given once the indices are in shared memory."""
        state = super().__getstate__()
        is_list = self._fully_initialized and not isinstance(self._argument, (int, slice, range))
        return state | {"_argument": None} if is_list else state


@DATASETS.register_module()
class ShuffleDataset(SingleWrapper):
    """A dataset in an order that depends on (seed, epoch); indices are computed, no list of them is stored.

    Args:
        dataset: Dataset or config.
        reshuffle: Use another order in each epoch; False keeps that of epoch 0.
        lazy_init, seed: See DatasetWrapper; without a seed the order is that of seed 0.
    """

    def __init__(self, dataset: Any, *, reshuffle: bool = True, lazy_init: bool = False, seed: int | None = None) -> None:
        self.reshuffle = self.changes_each_epoch = reshuffle
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        state = self._epoch_state
        key = epoch_key(state.seed or 0, state.epoch if self.reshuffle else 0)
        return permute(indices, self._length, key=splitmix64(key ^ _SHUFFLE_ID))

    def _describe(self) -> str:
        return "" if self.reshuffle else "reshuffle=False"


@DATASETS.register_module()
class RepeatDataset(SingleWrapper):
    """A dataset repeated several times; each repetition of a clip has other random numbers.

    The arguments are those of MMEngine's RepeatDataset.

    Args:
        dataset: Dataset or config.
        times: Number of repetitions, at least 1.
        lazy_init, seed: See DatasetWrapper.
    """

    def __init__(self, dataset: Any, times: int, lazy_init: bool = False, *, seed: int | None = None) -> None:
        check_int(type_name(self), low=1, times=times)
        self.times = int(times)
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        return indices % self._lengths[0]

    def _num_samples(self, lengths: np.ndarray) -> int:
        return self.times * int(lengths[0])

    def _describe(self) -> str:
        return f"times={self.times}"


@DATASETS.register_module()
class ClassBalancedDataset(SingleWrapper):
    """Every clip at least once, clips of rare classes several times, each time with other random numbers.

    A clip of a class with a fraction f of the clips is repeated max(1, ceil(sqrt(oversample_thr / f))) times, a clip of
    several classes as often as the rarest of them. The arguments are those of MMEngine's ClassBalancedDataset.

    Args:
        dataset: Dataset or config; its clips have labels.
        oversample_thr: Fraction of a class, above 0, below which its clips are repeated; 1 / K is the fraction of each of
            K classes in a balanced dataset.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: If the threshold is invalid, clips have no labels, or indices below are other clips in each epoch.

    Source: Gupta et al. 2019, LVIS, repeat factor sampling, https://arxiv.org/abs/1908.03195
    """

    def __init__(self, dataset: Any, oversample_thr: float, lazy_init: bool = False, *, seed: int | None = None) -> None:
        if not isinstance(oversample_thr, Real) or not 0 < oversample_thr < np.inf:
            raise ConfigError(f"{type_name(self)}: oversample_thr={oversample_thr!r}; expected a number above 0")
        self.oversample_thr: float = oversample_thr
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        self._check_fixed_order()
        clips, labels = self._labels()
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        fractions = counts / self._lengths[0]
        times = np.ones(self._lengths[0])
        np.maximum.at(times, clips, np.sqrt(self.oversample_thr / fractions)[classes])
        self._indices = as_indices(np.repeat(np.arange(len(times)), np.ceil(times).astype(np.int64)))

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return clip and class of every pair of them, int64 (N,) each."""
        tree, length = wrap(self.dataset), int(self._lengths[0])
        default = KeypointDataset.get_cat_ids
        try:
            if all(getattr(type(leaf), "get_cat_ids", None) is default for _, leaf, _ in leaf_datasets(tree)):
                return np.arange(length), tree.column("label")
            pairs = [(index, label) for index in range(length) for label in sorted(set(tree.get_cat_ids(index)))]
        except (AttributeError, KeyError) as error:
            raise ConfigError(
                f"{type_name(self)}: {type_name(self.dataset)} has no class labels ({error}); records need a 'label', or "
                "the dataset a method get_cat_ids(index)"
            ) from error
        clips, labels = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return clips, labels

    def child_indices(self, indices: np.ndarray) -> np.ndarray:
        return take(self._indices, indices)

    def _num_samples(self, lengths: np.ndarray) -> int:
        return len(self._indices)

    def _describe(self) -> str:
        return f"oversample_thr={self.oversample_thr:g}"
