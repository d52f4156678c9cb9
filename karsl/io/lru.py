"""Least-recently-used cache, bounded by the total size of its values."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

V = TypeVar("V")


def count(value: Any) -> int:
    """Size of a value in a cache that is bounded by the number of its entries."""
    return 1


def nbytes(value: Any) -> int:
    """Size of an array in a cache that is bounded in bytes."""
    return value.nbytes


class LRU(Generic[V]):
    """Mapping that drops the least recently used values. A pickled copy is empty.

    Args:
        max_size: Maximum total size. 0 stores nothing; a larger value is not stored.
        size_of: Size of a value, a picklable function.

    Raises:
        ValueError: If `max_size` is negative.

    Example:
        >>> cache = LRU(2)
        >>> for key in "abac":
        ...     _ = cache.get_or_load(key, lambda: key.upper())
        >>> cache.get("a"), cache.get("b"), cache.size
        ('A', None, 2)
    """

    def __init__(self, max_size: int, size_of: Callable[[V], int] = count) -> None:
        if max_size < 0:
            raise ValueError(f"max_size={max_size} of a cache is negative; 0 stores nothing")
        self.max_size, self._size_of = max_size, size_of
        self.clear()

    def clear(self) -> None:
        """Remove all values."""
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.size = 0

    def get(self, key: Hashable) -> V | None:
        """Return a value and mark it as used, or None if it is not stored."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def get_or_load(self, key: Hashable, load: Callable[[], V]) -> V:
        """Return the value of a key, loaded and stored if it is not there."""
        value = self.get(key)
        if value is None:
            value = load()
            self.put(key, value)
        return value

    def put(self, key: Hashable, value: V) -> None:
        """Store a value as the most recently used one."""
        self.pop(key)
        size = self._size_of(value)
        if size > self.max_size:
            return
        self._entries[key] = value, size
        self.size += size
        while self.size > self.max_size:
            self.size -= self._entries.popitem(last=False)[1][1]

    def pop(self, key: Hashable) -> None:
        """Remove a key if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry[1]

    def __len__(self) -> int:
        return len(self._entries)

    def __reduce__(self) -> tuple:
        return LRU, (self.max_size, self._size_of)
