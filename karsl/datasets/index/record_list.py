"""`RecordList`: the data_list of a dataset in one buffer that all processes of a node share."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
from mmengine.logging import print_log

from karsl.datasets.index.indices import Indices, SharedIndices, as_range, as_slice, resolve_indices
from karsl.datasets.index.reader import IndexReader
from karsl.datasets.index.writer import IndexWriter
from karsl.errors import pluralize
from karsl.io.addresses import ClipLayout
from karsl.io.readahead import FileRanges, row_layout
from karsl.io.shared_file import SharedFile
from karsl.progress import track


class RecordList(Sequence):
    """An immutable sequence of records over a mapped file, or a selection of them.

    Forked workers inherit the mapping, spawned ones map the file again: a pickle contains a path and a few numbers. Each
    access decodes a private dict. Made by `build`, `open` or `karsl.datasets.index.cache.open_or_build`.

    Example:
        >>> records = RecordList.build({"clip_id": str(i), "label": i % 3} for i in range(10))
        >>> records[-1], len(records.select([1, 4, 5])), records.select(4).select([3, 0])[0]
        ({'clip_id': '9', 'label': 0}, 3, {'clip_id': '3', 'label': 0})
        >>> records.data_address[:3]
        array([18, 36, 54])
    """

    def __init__(self, reader: IndexReader, selection: range | SharedIndices | None = None) -> None:
        self.reader = reader
        self._selection = selection
        self._count = -1 if selection is None else len(selection)
        self._columns: dict[str, np.ndarray] = {}

    @classmethod
    def build(
        cls,
        records: Iterable[dict],
        *,
        path: Path | None = None,
        fingerprint: str = "",
        columns: Mapping[str, str] | None = None,
        meta: dict | Callable[[], dict] | None = None,
    ) -> RecordList:
        """Stream records into a file that is created atomically, or into memory of the run.

        Args:
            records: Any number of records; 1 MiB of them is buffered.
            path: Index file to write. None, a full disk, or a record that only pickle can store use memory of the run.
            fingerprint: Fingerprint of the inputs, at most 32 characters.
            columns: Record key to 'int64', 'uint64', 'int32', 'float64', 'optional' or 'category', see `NumberColumn`.
            meta: Metadata to store with the records; a function is called after the records have been read.
        """
        writer = IndexWriter(path, fingerprint, columns)
        try:
            for record in track(records):
                writer.add(record)
            file = writer.finish(meta() if callable(meta) else meta)
        except BaseException:
            writer.abort()
            raise
        if writer.moved:
            text = f"the index stays in shared memory of this run: {writer.moved}"
            print_log(text, logger="current", level=logging.WARNING)
        return cls(IndexReader(file, fingerprint).open())

    @classmethod
    def open(cls, path: Path, fingerprint: str | None = None) -> RecordList:
        """Map an index file.

        Raises:
            FileNotFoundError: If there is none.
            IndexFileError: If it is incomplete, damaged, of another user, or not of `fingerprint`.
        """
        return cls(IndexReader(SharedFile.open(Path(path)), fingerprint).open())

    def __len__(self) -> int:
        if self._count < 0:
            self._count = self.reader.count
        return self._count

    @overload
    def __getitem__(self, index: int) -> dict: ...
    @overload
    def __getitem__(self, index: slice) -> RecordList: ...
    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int:
            if isinstance(index, slice):
                return self.select(index)
            index = operator.index(index)
        count = self._count if self._count >= 0 else len(self)
        position = index + count if index < 0 else index
        if not 0 <= position < count:
            raise IndexError(f"index {index} is out of range for {pluralize(count, 'record')}")
        if self._selection is not None:
            position = self._selection[position]
        return self.reader.read(position)

    def select(self, indices: Indices) -> RecordList:
        """Return a list of some of the records, on the same pages.

        Args:
            indices: An int, slice, sequence, integer array or mask; see `resolve_indices`.
        """
        selected = as_range(resolve_indices(indices, len(self)))
        if self._selection is not None:
            selected = _compose(self._selection, selected)
        return RecordList(self.reader, selected if isinstance(selected, range) else SharedIndices(selected))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the stored columns."""
        return tuple(self.reader.columns)

    def column(self, name: str) -> np.ndarray:
        """Return one number per record, read-only; a mapped page unless the selection is irregular.

        Raises:
            KeyError: If the column is not stored. The text gives the reason.
        """
        if name not in self._columns:
            if name not in self.reader.columns:
                raise KeyError(f"no column {name!r}: {self.missing_reason(name)}")
            self._columns[name] = self._select_values(self.reader.column(name))
        return self._columns[name]

    def missing_reason(self, name: str) -> str:
        """Return why a column is missing: the record without a valid value, or that it was not requested."""
        return self.reader.missing_columns.get(name, f"the index has {', '.join(self.columns) or 'none'}")

    def categories(self, name: str) -> tuple:
        """Return the values that the codes of a 'category' column stand for.

        Raises:
            KeyError: If there is no such column, or it has numbers.
        """
        if name not in self._categories:
            raise KeyError(f"no category column {name!r}")
        return self._categories[name]

    @cached_property
    def _categories(self) -> dict[str, tuple]:
        entries = self.reader.columns.items()
        return {name: tuple(entry["codes"]) for name, entry in entries if entry["codes"] is not None}

    @property
    def meta(self) -> dict:
        """Private copy of the metadata stored with the records."""
        return self.reader.meta

    @property
    def data_address(self) -> np.ndarray:
        """END offsets into `data_bytes` as in MMEngine, int64 (n,). Computed on each access of a selection."""
        if self._selection is None:
            return self.reader.ends
        return np.cumsum(self._select_values(np.diff(self.reader.ends, prepend=0)), dtype=np.int64)

    @property
    def data_bytes(self) -> np.ndarray:
        """All records one after the other, uint8, encoded by `karsl.datasets.index.codec`.

        Mapped pages for the entire list and for consecutive records; an irregular selection is copied on each access.
        """
        positions = self._positions()
        data, ends = self.reader.data, self.reader.ends
        if isinstance(positions, range) and positions.step == 1:
            first, last = positions.start, positions.stop
            return data[ends[first - 1] if first else 0 : ends[last - 1] if last else 0]
        starts = np.concatenate([[0], ends[:-1]])
        return np.concatenate([data[starts[i] : ends[i]] for i in positions] or [np.zeros(0, np.uint8)])

    @property
    def path(self) -> Path | None:
        """Index file, None for memory of the run."""
        return None if self.reader.file.temporary else self.reader.file.path

    def file_ranges(self, indices: np.ndarray, num_keypoints: int) -> list[FileRanges]:
        """Return the byte ranges of clips that are stored in packs or mapped files, one item per file.

        Args:
            indices: int64 (N,), each in [0, n).
            num_keypoints: V of the clips.

        Returns:
            An empty list for clips in archives, which are not mapped.

        Raises:
            OSError, ValueError: If a file is missing or not what the index says.
        """
        known = set(self.columns)
        if not {"pack", "num_frames"} <= known or not known & {"frame_start", "byte_start"}:
            return []
        codes, lengths, in_packs = self.column("pack")[indices], self.column("num_frames")[indices], "frame_start" in known
        raw = self.categories("raw")[0] if "raw" in known else None
        starts = self.column("frame_start" if in_packs else "byte_start")[indices]
        ranges = []
        for code in np.unique(codes).tolist():
            in_file, path = codes == code, self.categories("pack")[code]
            if in_packs:
                first_byte, frame_bytes = row_layout(path)
                begins = first_byte + starts[in_file] * frame_bytes
            else:  # clips that are read in batches have one dtype
                record = {"dtype": self.categories("dtype")[0], "raw": raw} if "dtype" in known else {}
                frame_bytes = ClipLayout.parse(record, num_keypoints, path).frame_bytes
                begins = starts[in_file]
            sizes = lengths[in_file] * frame_bytes
            ranges.append(FileRanges(path, list(zip(begins.tolist(), sizes.tolist(), strict=True))))
        return ranges

    def _positions(self) -> range | np.ndarray:
        if self._selection is None:
            return range(len(self))
        return self._selection if isinstance(self._selection, range) else self._selection.array

    def _select_values(self, values: np.ndarray) -> np.ndarray:
        positions = self._positions()
        return values[as_slice(positions)] if isinstance(positions, range) else values[positions]

    def __deepcopy__(self, memo: dict) -> RecordList:
        return self  # immutable, and the pages are shared anyway

    def __reduce__(self) -> tuple:
        return RecordList, (self.reader, self._selection)

    def __repr__(self) -> str:
        of_all = "" if self._selection is None else f" of {self.reader.count:,}"
        return f"RecordList({len(self):,}{of_all} records, {self.reader})"


class SharedArray:
    """Attribute of a dataset that shows an array of its `index`.

    MMEngine's `full_init` assigns the arrays of `_serialize_data`; the index has them already.
    """

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, dataset: Any, owner: type) -> Any:
        return self if dataset is None else getattr(dataset.index, self._name)

    def __set__(self, dataset: Any, value: np.ndarray) -> None:
        if not np.array_equal(value, getattr(dataset.index, self._name)):
            raise AttributeError(f"{self._name} is a view of the shared buffer and cannot be replaced; see full_init()")


def _compose(outer: range | SharedIndices, inner: range | np.ndarray) -> range | np.ndarray:
    if isinstance(outer, range):
        return outer[as_slice(inner)] if isinstance(inner, range) else outer.start + outer.step * inner
    return outer.array[as_slice(inner)] if isinstance(inner, range) else outer.array[inner]
