"""One dataset after the other."""

from __future__ import annotations

import numpy as np

from karsl.datasets.combine.leaves import in_row
from karsl.datasets.combine.several import SeveralMembers
from karsl.registry import DATASETS


@DATASETS.register_module()
class ConcatDataset(SeveralMembers):
    """Datasets one after the other; arguments of MMEngine's ConcatDataset mean the same here.

    A member that is `SliceDataset(dataset, 0)` gives its classes to `labels='union'` and no clip: a test set may thus have
    the labels of a training set with more corpora.

    Args:
        datasets, lazy_init, ignore_keys, labels, aliases, seed: See SeveralMembers.
    """

    takes_empty = True

    def locate(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return in_row(self._lengths, places)

    def _count(self, lengths: np.ndarray) -> int:
        return int(lengths.sum())
