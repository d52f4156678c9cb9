"""Count clips that were replaced by others, where a process sees the sum over its workers."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

from karsl.datasets.shared_numbers import SharedNumbers


class SkipReport:
    """How often a clip was replaced, over all workers of this process; each clip's reason is logged once a process.

    Example:
        >>> report = SkipReport()
        >>> report.count
        0
    """

    def __init__(self) -> None:
        self._shared = SharedNumbers([0])
        self._told: set[int] = set()

    @property
    def count(self) -> int:
        """Replacements so far; two workers that count at the same instant may be counted once."""
        return self._shared[0]

    def add(self, sample_idx: int, reason: str) -> None:
        """Count one replacement."""
        self._shared[0] += 1
        if sample_idx not in self._told:
            self._told.add(sample_idx)
            print_log(f"another clip is taken: {reason}", logger="current", level=logging.WARNING)

    def __deepcopy__(self, memo: dict) -> SkipReport:
        return SkipReport()
