"""Round robin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from karsl.datasets.combine.several import SeveralMembers
from karsl.errors import ConfigError, type_name
from karsl.registry import DATASETS

STOPS = ("all_exhausted", "first_exhausted")


@DATASETS.register_module()
class InterleaveDataset(SeveralMembers):
    """One clip of each dataset in turn: place i is clip i // k of dataset i % k, shorter ones begin again.

    Args:
        datasets: Datasets or configs.
        stop: `'all_exhausted'`: k times the longest, shorter ones wrap around; `'first_exhausted'`: k times the shortest.
        kwargs: `lazy_init, ignore_keys, labels, aliases, seed` of SeveralMembers.
    """

    def __init__(self, datasets: Iterable[Any], *, stop: str = "all_exhausted", **kwargs: Any) -> None:
        self.stop = check_stop(self, stop)
        super().__init__(datasets, **kwargs)

    def locate(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        members = places % len(self.members)
        return members, places // len(self.members) % self._lengths[members]

    def _count(self, lengths: np.ndarray) -> int:
        return len(lengths) * int(lengths.max() if self.stop == "all_exhausted" else lengths.min())

    def _describe(self) -> str:
        return ", ".join(filter(None, [f"stop={self.stop!r}", super()._describe()]))


def check_stop(owner: object, stop: str) -> str:
    """Check a stopping name.

    Raises:
        ConfigError: None of `STOPS`.
    """
    if stop not in STOPS:
        raise ConfigError(f"{type_name(owner)}: stop={stop!r}; expected {' or '.join(map(repr, STOPS))}")
    return stop
