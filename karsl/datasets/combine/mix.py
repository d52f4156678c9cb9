"""Wrappers of several datasets: concatenated, interleaved, or mixed in given proportions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from karsl.datasets.combine.agreement import common_metainfo
from karsl.datasets.combine.base import DatasetWrapper
from karsl.datasets.combine.map import RelabelDataset, merge_classes
from karsl.datasets.order.permutation import permute
from karsl.datasets.rng import epoch_key, splitmix64
from karsl.datasets.tree import offsets_to_child
from karsl.errors import ConfigError, did_you_mean, type_name
from karsl.registry import DATASETS

LABELS = ("strict", "union", "separate")
STOPPING_STRATEGIES = ("all_exhausted", "first_exhausted")


class MultiWrapper(DatasetWrapper):
    """Base class of wrappers of several datasets, with one list of classes.

    Args:
        datasets: Datasets or configs, at least one.
        labels: `'strict'`: all datasets must have the same classes. `'union'`: classes of the same name get one label.
            `'separate'`: all classes stay apart, named `'0/hello'`, `'1/hello'`. A list of names: labels are those of
            this list, matched by name.
        aliases: Class names of any dataset and the names to use; not with `labels='strict'`.
        ignore_keys: Keys of metainfo that may differ; the value is that of the first dataset. Other keys that differ are
            left out.
        lazy_init, seed: See DatasetWrapper.

    Raises:
        ConfigError: As DatasetWrapper, or if datasets have different classes and `labels='strict'`.
    """

    def __init__(
        self,
        datasets: Iterable[Any],
        lazy_init: bool = False,
        ignore_keys: str | Sequence[str] | None = None,
        *,
        labels: str | Sequence[str] = "strict",
        aliases: Mapping[str, str] | None = None,
        seed: int | None = None,
    ) -> None:
        if isinstance(labels, str) and labels not in LABELS:
            hint = did_you_mean(labels, LABELS, f"expected {', '.join(LABELS)} or a list of class names")
            raise ConfigError(f"{type_name(self)}: labels={labels!r}{hint}")
        if aliases and isinstance(labels, str) and labels == "strict":
            raise ConfigError(f"{type_name(self)}: aliases have no effect without labels='union' or a list of classes")
        self._labels, self._aliases = labels, dict(aliases or {})
        self._ignore_keys = (ignore_keys,) if isinstance(ignore_keys, str) else tuple(ignore_keys or ())
        self._is_relabeled = False
        super().__init__(datasets, lazy_init=lazy_init, seed=seed)

    @property
    def datasets(self) -> list[Any]:
        """The wrapped datasets."""
        return list(self.children)

    def _prepare(self) -> None:
        if self._labels == "strict":
            return
        prefixes = [f"{n}/" if self._labels == "separate" else "" for n in range(len(self.children))]
        targets = self._labels
        if isinstance(targets, str):
            targets = merge_classes(self._class_lists(prefixes), self._aliases)
        self.children = tuple(
            RelabelDataset(child, targets, aliases=self._aliases, prefix=prefix)
            for child, prefix in zip(self.children, prefixes, strict=True)
        )
        self._is_relabeled = True

    def _class_lists(self, prefixes: Sequence[str]) -> list[list[str]]:
        lists = []
        for number, (child, prefix) in enumerate(zip(self.children, prefixes, strict=True)):
            classes = (getattr(child, "metainfo", None) or {}).get("classes")
            if classes is None:
                where = f"{self.child_name(number)} ({type_name(child)})"
                raise ConfigError(f"{type_name(self)}: {where} has no 'classes' in its metainfo for labels={self._labels!r}")
            lists.append([f"{prefix}{name}" for name in classes])
        return lists

    def _merge_metainfo(self) -> dict:
        if self._labels != "strict" and not self._is_relabeled:  # not initialized yet: classes may still differ
            return common_metainfo(self, (*self._ignore_keys, "classes"))
        return common_metainfo(self, self._ignore_keys)

    def _describe(self) -> str:
        return "" if self._labels == "strict" else f"labels={self._labels!r}"


@DATASETS.register_module()
class ConcatDataset(MultiWrapper):
    """Datasets one after the other, with the arguments of MMEngine's ConcatDataset.

    A child `SliceDataset(dataset, 0)` adds its classes to `labels='union'` and no clip, so that a test set can have the
    labels of a training set of more corpora.

    Args:
        datasets, lazy_init, ignore_keys, labels, aliases, seed: See MultiWrapper.
    """

    accepts_empty_children = True

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return offsets_to_child(self._lengths, indices)

    def _num_samples(self, lengths: np.ndarray) -> int:
        return int(lengths.sum())


@DATASETS.register_module()
class InterleaveDataset(MultiWrapper):
    """One clip of each dataset in turn: index i is clip i // k of dataset i % k; shorter datasets start again.

    Args:
        datasets: Datasets or configs.
        stopping_strategy: `'all_exhausted'`: k times the length of the longest dataset. `'first_exhausted'`: k times that
            of the shortest.
        kwargs: `lazy_init, ignore_keys, labels, aliases, seed` of MultiWrapper.
    """

    def __init__(self, datasets: Iterable[Any], *, stopping_strategy: str = "all_exhausted", **kwargs: Any) -> None:
        self.stopping_strategy = _check_strategy(self, stopping_strategy)
        super().__init__(datasets, **kwargs)

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers = indices % len(self.children)
        return numbers, indices // len(self.children) % self._lengths[numbers]

    def _num_samples(self, lengths: np.ndarray) -> int:
        return len(lengths) * int(lengths.max() if self.stopping_strategy == "all_exhausted" else lengths.min())

    def _describe(self) -> str:
        return ", ".join(filter(None, [f"stopping_strategy={self.stopping_strategy!r}", super()._describe()]))


@DATASETS.register_module()
class MixDataset(MultiWrapper):
    """Clips of several datasets in given proportions, in random order, resampled in each epoch.

    The proportions are exact in every epoch. The clips of each dataset and the order depend on (seed, epoch) and are
    computed, so a mix of any length takes no memory.

    Args:
        datasets: Datasets or configs.
        weights: Proportions of the datasets, positive, with any sum; None makes them equal.
        stopping_strategy: `'first_exhausted'`: an epoch ends when one dataset has given every clip once; of the others it
            has as many as their proportion, other ones in each epoch. `'all_exhausted'`: it ends when every dataset has
            given every clip at least once; clips of the others are repeated, with other random numbers.
        kwargs: `lazy_init, ignore_keys, labels, aliases, seed` of MultiWrapper.

    Raises:
        ConfigError: If `weights` is not one positive number per dataset.

    Source: the stopping strategies are those of `interleave_datasets` of Hugging Face datasets.
    """

    changes_each_epoch = True

    def __init__(
        self,
        datasets: Iterable[Any],
        weights: Sequence[float] | None = None,
        *,
        stopping_strategy: str = "first_exhausted",
        **kwargs: Any,
    ) -> None:
        self.stopping_strategy, datasets = _check_strategy(self, stopping_strategy), list(datasets)
        values = [1.0] * len(datasets) if weights is None else list(weights)
        shares = np.asarray([w if isinstance(w, Real) else -1 for w in values], dtype=np.float64)
        if len(shares) != len(datasets) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ConfigError(
                f"{type_name(self)}: weights={weights!r} for {len(datasets)} datasets; expected one positive number for each"
            )
        self.weights = tuple((shares / shares.sum()).tolist())
        super().__init__(datasets, **kwargs)

    def locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = epoch_key(self._epoch_state.seed or 0, self._epoch_state.epoch)
        numbers, offsets = offsets_to_child(self._quotas, permute(indices, self._length, key=key))
        inner = np.empty(len(indices), np.int64)
        for number, length in enumerate(self._lengths.tolist()):
            selected = np.flatnonzero(numbers == number)
            if len(selected):
                inner[selected] = _shuffled_rounds(offsets[selected], length, splitmix64(key ^ (number + 1)))
        return numbers, inner

    def _num_samples(self, lengths: np.ndarray) -> int:
        self._quotas = samples_per_epoch(lengths, np.array(self.weights), self.stopping_strategy)
        return int(self._quotas.sum())

    def _describe(self) -> str:
        weights = ", ".join(f"{w:.3g}" for w in self.weights)
        strategy = f"stopping_strategy={self.stopping_strategy!r}"
        return ", ".join(filter(None, [f"weights=({weights})", strategy, super()._describe()]))


def samples_per_epoch(lengths: np.ndarray, weights: np.ndarray, stopping_strategy: str) -> np.ndarray:
    """Return the number of samples of each dataset in one epoch of a mix, int64 (k,).

    Args:
        lengths: int64 (k,), lengths of the datasets.
        weights: float64 (k,), proportions with sum 1.
        stopping_strategy: See MixDataset.

    Example:
        >>> samples_per_epoch(np.array([100, 10]), np.array([0.5, 0.5]), "first_exhausted")
        array([10, 10])
        >>> samples_per_epoch(np.array([100, 10]), np.array([0.75, 0.25]), "all_exhausted")
        array([100,  34])
    """
    totals = lengths / weights  # length of an epoch that has each clip of the dataset once
    if stopping_strategy == "first_exhausted":
        return np.maximum(1, np.floor(weights * totals.min() + 1e-9)).astype(np.int64)
    return np.ceil(weights * totals.max() - 1e-9).astype(np.int64)


def _shuffled_rounds(offsets: np.ndarray, length: int, key: int) -> np.ndarray:
    """Return clips so that each occurs once per round of `length` offsets; every round has another order."""
    rounds, clips = offsets // length, np.empty(len(offsets), np.int64)
    for number in sorted(set(rounds.tolist())):
        selected = rounds == number
        clips[selected] = permute(offsets[selected] % length, length, key=splitmix64(key ^ number))
    return clips


def _check_strategy(owner: object, strategy: str) -> str:
    if strategy not in STOPPING_STRATEGIES:
        expected = " or ".join(map(repr, STOPPING_STRATEGIES))
        raise ConfigError(f"{type_name(owner)}: stopping_strategy={strategy!r}; expected {expected}")
    return strategy
