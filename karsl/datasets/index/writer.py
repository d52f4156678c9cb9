"""Writer of index files: streams records into a file, or into memory of the run if a file is not possible."""

from __future__ import annotations

import math
import operator
import os
import tempfile
from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from karsl.datasets.index.codec import encode, encode_pickled
from karsl.datasets.index.reader import BLOCK_BYTES, HEADER_BYTES, IndexHeader, checksum
from karsl.errors import UnsafeRecordError
from karsl.io.shared_file import SharedFile

TEMP_SUFFIX = ".tmp"
_CHUNK_BYTES = 16 * BLOCK_BYTES
_CHUNK_RECORDS = 1024
_TYPECODES = {"int64": "q", "uint64": "Q", "int32": "i", "float64": "d", "optional": "d", "category": "i"}
_DTYPES = {"q": "<i8", "Q": "<u8", "i": "<i4", "d": "<f8"}


class IndexWriter:
    """Writes records one by one. Buffers 1 MiB or 1,024 records, and 8 bytes per record.

    A full disk, or a record that the safe codec rejects, moves the written part into memory of the run, and writing
    continues there; `moved` then has the reason. Nothing at `target` changes before `finish`.

    Args:
        target: Index file to write, None for memory of the run.
        fingerprint: Fingerprint of the inputs.
        columns: Record key to dtype of the stored columns, see `NumberColumn`. A column that some record lacks is left out.
    """

    def __init__(self, target: Path | None, fingerprint: str = "", columns: Mapping[str, str] | None = None) -> None:
        self.moved: str | None = None
        self._target, self._fingerprint = target, fingerprint
        self._columns = {name: NumberColumn(name, dtype) for name, dtype in (columns or {}).items()}
        self._ends, self._hashes, self._pending = array("q", [0]), array("Q"), bytearray()
        self._unindexed: list[Any] = []
        self._flushed, self._total = HEADER_BYTES, 0
        self._file = self._new_file()
        self._write(0, b"\0" * HEADER_BYTES)

    def add(self, record: Any) -> None:
        """Append one record, which must not be changed afterwards."""
        try:
            data = encode(record)
        except UnsafeRecordError as error:
            self._move(f"record {len(self._ends) - 1} cannot be stored in a file without pickle: {error}")
            data = encode_pickled(record)
        self._pending += data
        self._total += len(data)
        self._ends.append(self._total)
        self._unindexed.append(record)
        if len(self._unindexed) >= _CHUNK_RECORDS:
            self._extend_columns()
        if len(self._pending) >= _CHUNK_BYTES:
            self._flush(len(self._pending) // BLOCK_BYTES * BLOCK_BYTES)

    def finish(self, meta: dict | None = None) -> SharedFile:
        """Write columns, checksums and metadata, then rename the file to its target.

        Args:
            meta: Metadata to store with the records.
        """
        self._flush(len(self._pending))
        self._extend_columns()
        try:
            packed_meta = encode(meta or {})
        except UnsafeRecordError as error:
            self._move(f"the metainfo cannot be stored in a file without pickle: {error}")
            packed_meta = encode_pickled(meta)
        offset = HEADER_BYTES + self._total
        ends_offset = offset = self._append(offset, b"", align=8)
        offset = self._append(offset, self._ends)
        columns = {}
        for name, column in self._columns.items():
            if column.missing_reason is None:
                offset = self._append(offset, b"", align=8)
                columns[name] = column.entry(offset)
                offset = self._append(offset, column.values)
        blocks_offset = offset = self._append(offset, b"", align=8)
        offset = self._append(offset, self._hashes)
        missing = {name: column.missing_reason for name, column in self._columns.items() if column.missing_reason}
        section = encode({"columns": columns, "missing": missing, "extra": packed_meta})
        header = IndexHeader(
            len(self._ends) - 1, self._total, ends_offset, blocks_offset, offset, len(section), offset + len(section),
            os.urandom(16), self._fingerprint, False, checksum(self._ends), checksum(self._hashes), checksum(section),
        )  # fmt: skip
        self._append(offset, section)
        self._publish(header)
        return self._file

    def abort(self) -> None:
        """Delete the unfinished file."""
        if self._file.path is not None:
            with suppress(OSError):
                self._file.path.unlink()
        self._file.close()

    def _new_file(self) -> SharedFile:
        if self._target is None:
            return SharedFile.in_memory()
        try:
            fd, path = tempfile.mkstemp(TEMP_SUFFIX, f"{self._target.stem}-", self._target.parent)
        except OSError as error:
            self.moved = f"{self._target.parent} cannot be written: {error.strerror}"
            return SharedFile.in_memory()
        return SharedFile(fd, Path(path))

    def _extend_columns(self) -> None:
        """Extend the columns by many records at once: one by one takes longer than encoding them."""
        for column in self._columns.values():
            column.extend(self._unindexed)
        self._unindexed.clear()

    def _flush(self, size: int) -> None:
        """Write the first `size` pending bytes, a multiple of the block size except at the end."""
        ready = memoryview(self._pending)[:size]
        self._hashes.extend(checksum(ready[start : start + BLOCK_BYTES]) for start in range(0, size, BLOCK_BYTES))
        self._flushed = self._append(self._flushed, ready)
        ready.release()
        del self._pending[:size]

    def _append(self, offset: int, data: Any, *, align: int = 1) -> int:
        """Write `data` at `offset`, then zeros up to a multiple of `align`; return the offset after them."""
        view = memoryview(data).cast("B")
        end = offset + len(view)
        padding = -end % align
        for start, piece in ((offset, view), (end, bytes(padding))):
            if len(piece):
                self._write(start, piece)
        return end + padding

    def _write(self, offset: int, data: Any) -> None:
        try:
            self._file.write_at(offset, data)
        except OSError as error:
            self._move(f"{self._file.path} cannot be written: {error.strerror}", error)
            self._file.write_at(offset, data)

    def _publish(self, header: IndexHeader) -> None:
        temp, target = self._file.path, self._target
        try:
            self._file.write_at(0, replace(header, trusted=self._file.temporary).pack())
            if not (self._file.temporary or temp is None or target is None):
                self._rename(temp, target)
        except OSError as error:
            self._move(f"{target} cannot be written: {error.strerror}", error)
            self._file.write_at(0, replace(header, trusted=True).pack())

    def _rename(self, temp: Path, target: Path) -> None:
        os.fsync(self._file.fd)
        self._file.lock_shared()
        os.replace(temp, target)
        self._file.path = target
        with suppress(OSError):  # some file systems cannot sync a folder; the rename is atomic all the same
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _move(self, reason: str, error: OSError | None = None) -> None:
        """Copy the written part into memory of the run. Raise `error` again if it is there already."""
        if self._file.temporary:
            if error is not None:
                raise error
            return
        self.moved = reason
        memory = SharedFile.in_memory()
        size = os.fstat(self._file.fd).st_size
        for offset in range(0, size, _CHUNK_BYTES):
            memory.write_at(offset, os.pread(self._file.fd, min(_CHUNK_BYTES, size - offset), offset))
        self.abort()
        self._file = memory


class NumberColumn:
    """Values of one record key, one number per record.

    Args:
        name: Record key.
        dtype: 'int64', 'uint64', 'int32', 'float64', 'optional' for float64, NaN where a record lacks the key or has None,
            or 'category' for int32 codes of str or int values, numbered in the order in which they first appear.

    Attributes:
        values: Numbers so far.
        codes: Code of each category, None for numbers.
        missing_reason: First record without a valid value, which ends the column; else None.

    Raises:
        ValueError: If `dtype` is none of these.

    Example:
        >>> signer = NumberColumn("signer", "category")
        >>> signer.extend([{"signer": "02"}, {"signer": "01"}, {"signer": "02"}])
        >>> list(signer.values), list(signer.codes)
        ([0, 1, 0], ['02', '01'])
    """

    def __init__(self, name: str, dtype: str) -> None:
        if dtype not in _TYPECODES:
            raise ValueError(f"column {name!r} has dtype {dtype!r}; use one of {', '.join(_TYPECODES)}")
        self.name, self.values = name, array(_TYPECODES[dtype])
        self.codes: dict[Hashable, int] | None = {} if dtype == "category" else None
        self.missing_reason: str | None = None
        self._convert: Callable[[Any], Any] = _CONVERSIONS.get(dtype, operator.index)
        self._is_optional = dtype == "optional"

    def extend(self, records: Sequence[Any]) -> None:
        """Append the values of records. The first record without a valid value ends the column."""
        if self.missing_reason is not None:
            return
        count = len(self.values)
        try:
            values = self._read(records)
            self.values.extend(map(self._convert, values) if self.codes is None else _encode_all(values, self.codes))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
            del self.values[count:]
            for record in records:
                self._append(record)

    def _append(self, record: Any) -> None:
        """Append one value, to find the invalid one."""
        if self.missing_reason is not None:
            return
        try:
            (value,) = self._read([record])
        except (KeyError, TypeError, AttributeError):
            self._end(f"record {len(self.values)} lacks {self.name!r}")
            return
        try:
            # no bound method is stored: a reference cycle would keep the values until the garbage collector runs
            self.values.append(self._convert(value) if self.codes is None else _encode_value(value, self.codes))
        except (TypeError, ValueError, OverflowError):
            self._end(f"record {len(self.values)} has {self.name}={value!r}")

    def _read(self, records: Sequence[Any]) -> list:
        if self._is_optional:
            return [record.get(self.name) for record in records]
        return list(map(operator.itemgetter(self.name), records))

    def entry(self, offset: int) -> dict:
        """Return the entry of the column table, for values stored at `offset`."""
        codes = None if self.codes is None else list(self.codes)
        dtype = _DTYPES[self.values.typecode]
        return {"dtype": dtype, "offset": offset, "hash": checksum(self.values), "codes": codes}

    def _end(self, reason: str) -> None:
        self.missing_reason, self.values = reason, array(self.values.typecode)


def _encode_all(values: Sequence[Any], codes: dict[Hashable, int]) -> Iterator[int]:
    if not {str, int}.issuperset(map(type, values)):
        raise TypeError("another type, or a subclass: the caller encodes one by one")
    for value in dict.fromkeys(values):
        codes.setdefault(value, len(codes))
    return map(codes.__getitem__, values)


def _encode_value(value: Hashable, codes: dict[Hashable, int]) -> int:
    if not isinstance(value, (str, int)):
        raise TypeError(f"a category is a str or an int, not {value!r}")
    return codes.setdefault(value, len(codes))


def _to_float(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise TypeError("float() would parse text")
    return float(value)


def _to_float_or_nan(value: Any) -> float:
    return math.nan if value is None else _to_float(value)


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"float64": _to_float, "optional": _to_float_or_nan}
