"""A dataset in which clips of rare classes come more often."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from karsl.datasets.combine.leaves import leaves_of
from karsl.datasets.combine.one import OneMember, as_combinator
from karsl.datasets.combine.slice import keep, pick
from karsl.datasets.keypoint_dataset import KeypointDataset
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS

_OF_A_RECORD = KeypointDataset.get_cat_ids


@DATASETS.register_module()
class ClassBalancedDataset(OneMember):
    """Every clip at least once, those of rare classes several times, each time with draws of its own.

    A class that makes up a share f of the clips comes ceil(sqrt(oversample_thr / f)) times, once if that is less; a clip of
    several classes as often as the rarest of them. Arguments are those of MMEngine's.

    Args:
        dataset: Dataset or config; its clips have labels.
        oversample_thr: Share of a class, above 0, below which its clips come again; 1 / K is an even share of K classes.
        lazy_init, seed: See Combinator.

    Raises:
        ConfigError: Another threshold, no labels, or places below are other clips in each epoch.

    Source: Gupta et al. 2019, LVIS, repeat factor sampling, https://arxiv.org/abs/1908.03195
    """

    def __init__(self, dataset: Any, oversample_thr: float, lazy_init: bool = False, *, seed: int | None = None) -> None:
        if not isinstance(oversample_thr, Real) or not 0 < oversample_thr < np.inf:
            raise ConfigError(f"{type_name(self)}: oversample_thr={oversample_thr!r}; expected a share above 0")
        self.oversample_thr: float = oversample_thr
        super().__init__(dataset, lazy_init=lazy_init, seed=seed)

    def _prepare(self) -> None:
        self._need_fixed_places()
        clips, labels = self._labels()
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        shares = counts / self._lengths[0]
        times = np.ones(self._lengths[0])
        np.maximum.at(times, clips, np.sqrt(self.oversample_thr / shares)[classes])
        self._chosen = keep(np.repeat(np.arange(len(times)), np.ceil(times).astype(np.int64)))

    def _labels(self) -> tuple[np.ndarray, np.ndarray]:
        """Clip and class, int64 (N,) each, of every pair of them."""
        tree, count = as_combinator(self.dataset), int(self._lengths[0])
        one_label = all(getattr(type(leaf), "get_cat_ids", None) is _OF_A_RECORD for _, leaf, _ in leaves_of(tree))
        try:
            if one_label:
                return np.arange(count), tree.column("label")
            pairs = [(place, label) for place in range(count) for label in sorted(set(tree.get_cat_ids(place)))]
        except (AttributeError, KeyError) as error:
            raise ConfigError(
                f"{type_name(self)}: {type_name(self.dataset)} does not tell the classes of its clips ({error}); records need a "
                "'label', or the dataset a get_cat_ids(index)"
            ) from error
        clips, labels = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return clips, labels

    def inner(self, places: np.ndarray) -> np.ndarray:
        return pick(self._chosen, places)

    def _count(self, lengths: np.ndarray) -> int:
        return len(self._chosen)

    def _describe(self) -> str:
        return f"oversample_thr={self.oversample_thr:g}"
