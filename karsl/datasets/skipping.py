"""Another clip where one gives no sample, and how often that was, where a process sees the sum over its workers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from karsl.datasets.shared_numbers import SharedNumbers
from karsl.errors import TransformError

_COUNTERS = 8  # as many as there are shared numbers of one object: of this process, and of its workers in turn


class SkipReport:
    """How often a clip was replaced, over all workers of this process; each clip's reason is logged once a process.

    Example:
        >>> report = SkipReport()
        >>> report.count
        0
    """

    def __init__(self) -> None:
        self._shared = SharedNumbers([0] * _COUNTERS)
        self._told: set[int] = set()

    @property
    def count(self) -> int:
        """Replacements so far; beyond seven workers, two that count at the same instant may be counted once."""
        return sum(self._shared.tolist())

    def add(self, sample_idx: int, reason: str) -> None:
        """Count one replacement."""
        worker = get_worker_info()
        self._shared[0 if worker is None else 1 + worker.id % (_COUNTERS - 1)] += 1
        if sample_idx not in self._told:
            self._told.add(sample_idx)
            print_log(f"another clip is taken: {reason}", logger="current", level=logging.WARNING)

    def __deepcopy__(self, memo: dict) -> SkipReport:
        return SkipReport()


class Attempt(NamedTuple):
    """A clip of which a sample is to be made.

    Attributes:
        make: Gives the sample, or None.
        none: The reason where it gives None.
        skip_errors: Whether a step that fails is taken as None.
        most: How many others may be tried in its place.
        refusal: Ends the text of the error where no more may be tried.
    """

    make: Callable[[], Any]
    none: str
    skip_errors: bool
    most: int
    refusal: str


def sample_or_another(
    place: int, attempt: Callable[[int], Attempt], another: Callable[[int, int], int], skips: SkipReport
) -> Any:
    """The sample at a place, or at another where there is none; each that is replaced is counted.

    Args:
        place: The first to try.
        attempt: What to try at a place.
        another: The place to try after one that failed, given that and how many were tried before it.
        skips: Counts.

    Raises:
        TransformError: A step failed where errors are not skipped, or no more places may be tried.
    """
    for tried in count():
        one = attempt(place)
        try:
            sample, reason = one.make(), one.none
        except TransformError as error:
            if not one.skip_errors:
                raise
            sample, reason = None, str(error)
        if sample is not None:
            return sample
        if tried >= one.most:
            raise TransformError(reason + one.refusal)
        skips.add(place, reason)
        place = another(place, tried)
