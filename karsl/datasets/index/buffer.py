"""`SerializedList`: the data_list of a dataset as one buffer that all processes of a node share."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.index.progress import reported
from karsl.datasets.index.selection import SharedIndices, as_range
from karsl.datasets.index.store import IndexStore
from karsl.datasets.index.writer import IndexWriter
from karsl.datasets.subset import Indices, resolve_indices
from karsl.io.shared_file import SharedFile


class SerializedList(Sequence):
    """An immutable sequence of records over mapped pages, or a view of some of them.

    Forked workers inherit the mapping, spawned ones map again: a pickle holds a path and numbers. Each access decodes a
    fresh private dict. Made by `build`, `open` or `index_cache.open_or_build`, not by hand.

    Example:
        >>> records = SerializedList.build({"clip_id": str(i), "label": i % 3} for i in range(10))
        >>> records[-1], len(records.view([1, 4, 5])), records.view(4).view([3, 0])[0]
        ({'clip_id': '9', 'label': 0}, 3, {'clip_id': '3', 'label': 0})
        >>> records.data_address[:3]
        array([18, 36, 54])
    """

    def __init__(self, store: IndexStore, selection: range | SharedIndices | None = None) -> None:
        self.store = store
        self._selection = selection
        self._count = -1 if selection is None else len(selection)

    @classmethod
    def build(
        cls,
        records: Iterable[dict],
        *,
        path: Path | None = None,
        fingerprint: str = "",
        columns: Mapping[str, str] | None = None,
        extra: dict | Callable[[], dict] | None = None,
    ) -> SerializedList:
        """Stream records into a file that appears whole or not at all, or into memory of the run.

        Args:
            records: Any number of records; held one MiB at a time.
            path: Index file to write. None, a full disk, or a record that only pickle can hold: memory of the run.
            fingerprint: Of all that shapes the records, at most 32 characters.
            columns: Record key to 'int64', 'int32', 'float64' or 'category'; see `column`.
            extra: Kept beside the records; a function is called once the records have been read.
        """
        writer = IndexWriter(path, fingerprint, columns)
        try:
            for record in reported(records):
                writer.add(record)
            file = writer.finish(extra() if callable(extra) else extra)
        except BaseException:
            writer.abort()
            raise
        if writer.moved:
            text = f"the index stays in shared memory of this run: {writer.moved}"
            print_log(text, logger="current", level=logging.WARNING)
        return cls(IndexStore(file, fingerprint).open())

    @classmethod
    def open(cls, path: Path, fingerprint: str | None = None) -> SerializedList:
        """Map an index file.

        Raises:
            FileNotFoundError: There is none.
            IndexFileError: It is torn, damaged, someone else's, or not of `fingerprint`.
        """
        return cls(IndexStore(SharedFile.open(Path(path)), fingerprint).open())

    def __len__(self) -> int:
        if self._count < 0:
            self._count = self.store.count
        return self._count

    @overload
    def __getitem__(self, index: int) -> dict: ...
    @overload
    def __getitem__(self, index: slice) -> SerializedList: ...
    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int:
            if isinstance(index, slice):
                return self.view(index)
            index = operator.index(index)
        count = self._count if self._count >= 0 else len(self)
        position = index + count if index < 0 else index
        if not 0 <= position < count:
            raise IndexError(f"index {index} is out of range for {count} records")
        if self._selection is not None:
            position = self._selection[position]
        return self.store.read(position)

    def view(self, indices: Indices) -> SerializedList:
        """Some of the records, on the same pages.

        Args:
            indices: As `resolve_indices` takes them: an int, a slice, a sequence, an integer array or a mask.
        """
        chosen = as_range(resolve_indices(indices, len(self)))
        if self._selection is not None:
            chosen = _compose(self._selection, chosen)
        return SerializedList(self.store, chosen if isinstance(chosen, range) else SharedIndices(chosen))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the number columns kept beside the records."""
        return tuple(self.store.columns)

    def column(self, name: str) -> np.ndarray:
        """Numbers of one record key, one per record; read-only, on the mapped pages unless this is a scattered view.

        Raises:
            KeyError: It is not kept; the text says why.
        """
        if name not in self.store.columns:
            raise KeyError(f"no column {name!r}: {self.why_missing(name)}")
        return self._select(self.store.column(name))

    def why_missing(self, name: str) -> str:
        """Which record has no fitting value, or that none was asked for."""
        return self.store.missing_columns.get(name, f"the index keeps {', '.join(self.columns) or 'none'}")

    def categories(self, name: str) -> tuple:
        """What the codes of a 'category' column stand for.

        Raises:
            KeyError: There is no such column, or it holds numbers.
        """
        codes = self.store.columns.get(name, {}).get("codes")
        if codes is None:
            raise KeyError(f"no category column {name!r}")
        return tuple(codes)

    @property
    def extra(self) -> dict:
        """What was stored beside the records; a fresh copy."""
        return self.store.extra

    @property
    def data_address(self) -> np.ndarray:
        """int64 (n,) END offsets into `data_bytes`, as MMEngine's; computed on each call for a view."""
        if self._selection is None:
            return self.store.ends
        return np.cumsum(self._lengths(), dtype=np.int64)

    @property
    def data_bytes(self) -> np.ndarray:
        """uint8 1-D of all records one after the other, in the codec of `karsl.datasets.index.codec`.

        Mapped pages for a whole list and for consecutive records; a scattered view copies its records on each call.
        """
        chosen = self._positions()
        data, ends = self.store.data, self.store.ends
        if isinstance(chosen, range) and chosen.step == 1:
            first, last = chosen.start, chosen.stop
            return data[ends[first - 1] if first else 0 : ends[last - 1] if last else 0]
        starts = np.concatenate([[0], ends[:-1]])
        return np.concatenate([data[starts[i] : ends[i]] for i in chosen] or [np.zeros(0, np.uint8)])

    @property
    def path(self) -> Path | None:
        """The index file, None for memory of the run."""
        return None if self.store.file.temporary else self.store.file.path

    def _positions(self) -> range | np.ndarray:
        if self._selection is None:
            return range(len(self))
        return self._selection if isinstance(self._selection, range) else self._selection.array

    def _select(self, values: np.ndarray) -> np.ndarray:
        chosen = self._positions()
        if isinstance(chosen, range):
            return values[_as_slice(chosen)]
        return values[chosen]

    def _lengths(self) -> np.ndarray:
        return self._select(np.diff(self.store.ends, prepend=0))

    def __deepcopy__(self, memo: dict) -> SerializedList:
        return self  # immutable, and the pages are shared anyway

    def __reduce__(self) -> tuple:
        return SerializedList, (self.store, self._selection)

    def __repr__(self) -> str:
        part = "" if self._selection is None else f" of {self.store.count:,}"
        return f"SerializedList({len(self):,}{part} records, {self.store})"


def _compose(outer: range | SharedIndices, inner: range | np.ndarray) -> range | np.ndarray:
    if isinstance(outer, range):
        return outer[_as_slice(inner)] if isinstance(inner, range) else outer.start + outer.step * inner
    return outer.array[_as_slice(inner)] if isinstance(inner, range) else outer.array[inner]


def _as_slice(positions: range) -> slice:
    """A slice that picks `positions`, all of them valid; a range that ends below 0 has no stop of its own."""
    stop = positions.stop if positions.stop >= 0 else None
    return slice(positions.start, stop, positions.step) if positions else slice(0, 0)
