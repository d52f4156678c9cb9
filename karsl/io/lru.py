"""Decoded arrays kept for the next reader, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class ArrayCache:
    """Least-recently-used cache of numpy arrays; holds arrays only, never open files.

    A copy sent to another process starts empty. Arrays given out are read-only, since several readers share them.

    Args:
        max_bytes: Sum of `nbytes` to keep; 0 keeps nothing. An array larger than this is passed through.

    Example:
        >>> cache = ArrayCache(16)
        >>> cache.get("a", lambda: np.zeros(2)) is cache.get("a", lambda: np.ones(2)), cache.nbytes
        (True, 16)
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"max_bytes={max_bytes} of an ArrayCache is negative; 0 keeps nothing")
        self.max_bytes = max_bytes
        self._clear()

    def _clear(self) -> None:
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()
        self.nbytes = 0

    def get(self, key: Hashable, load: Callable[[], np.ndarray]) -> np.ndarray:
        """The array under `key`, loaded by `load()` if it is not here."""
        found = self._arrays.get(key)
        if found is not None:
            self._arrays.move_to_end(key)
            return found
        array = load()
        array.flags.writeable = False
        if array.nbytes <= self.max_bytes:
            self._arrays[key] = array
            self.nbytes += array.nbytes
            while self.nbytes > self.max_bytes:
                self.nbytes -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def __getstate__(self) -> dict:
        return {"max_bytes": self.max_bytes}

    def __setstate__(self, state: dict) -> None:
        self.max_bytes = state["max_bytes"]
        self._clear()
