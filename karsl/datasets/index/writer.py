"""Streams records into an index file, or into memory of the run when the disk or a record does not allow a file."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from karsl.datasets.index.codec import encode, encode_pickled
from karsl.datasets.index.columns import NumberColumn
from karsl.datasets.index.layout import BLOCK_BYTES, HEADER_BYTES, IndexHeader, checksum
from karsl.errors import UnsafeRecord
from karsl.io.shared_file import SharedFile

TEMP_SUFFIX = ".tmp"
_CHUNK_BYTES = 16 * BLOCK_BYTES
_RECORDS = 1024


class IndexWriter:
    """Takes records one by one, not to be changed afterwards; holds one MiB or 1,024 of them and 8 bytes of address each.

    A full disk, or a record that the safe codec refuses, moves what is written so far into memory of the run and goes
    on there; `moved` then says why. Nothing at `target` changes before `finish`.

    Args:
        target: Index file to make, None for memory of the run.
        fingerprint: Of all that shapes the records.
        columns: Number columns to keep beside the records: record key to 'int64', 'int32', 'float64', or 'category' (codes
            of any values). A column that some record lacks is left out, and the reason kept.
    """

    def __init__(self, target: Path | None, fingerprint: str = "", columns: Mapping[str, str] | None = None) -> None:
        self.moved: str | None = None
        self._target, self._fingerprint = target, fingerprint
        self._columns = {name: NumberColumn(name, dtype) for name, dtype in (columns or {}).items()}
        self._ends, self._hashes, self._pending = array("q", [0]), array("Q"), bytearray()
        self._unlisted: list[Any] = []
        self._flushed, self._total = HEADER_BYTES, 0
        self._file = self._new_file()
        self._write(0, b"\0" * HEADER_BYTES)

    def add(self, record: Any) -> None:
        """Append one record."""
        try:
            data = encode(record)
        except UnsafeRecord as error:
            self._move(f"record {len(self._ends) - 1} cannot be kept in a file without pickle: {error}")
            data = encode_pickled(record)
        self._pending += data
        self._total += len(data)
        self._ends.append(self._total)
        self._unlisted.append(record)
        if len(self._unlisted) >= _RECORDS:
            self._list()
        if len(self._pending) >= _CHUNK_BYTES:
            self._flush(len(self._pending) // BLOCK_BYTES * BLOCK_BYTES)

    def finish(self, extra: dict | None = None) -> SharedFile:
        """Write what describes the records and put the file in its place, whole or not at all.

        Args:
            extra: Stored beside the records.
        """
        self._flush(len(self._pending))
        self._list()
        try:
            packed_extra = encode(extra or {})
        except UnsafeRecord as error:
            self._move(f"the metainfo cannot be kept in a file without pickle: {error}")
            packed_extra = encode_pickled(extra)
        offset = HEADER_BYTES + self._total
        ends_offset = offset = self._append(offset, b"", align=8)
        offset = self._append(offset, self._ends)
        kept = {}
        for name, column in self._columns.items():
            if column.reason is None:
                offset = self._append(offset, b"", align=8)
                kept[name] = column.entry(offset)
                offset = self._append(offset, column.values)
        blocks_offset = offset = self._append(offset, b"", align=8)
        offset = self._append(offset, self._hashes)
        missing = {name: column.reason for name, column in self._columns.items() if column.reason}
        meta = encode({"columns": kept, "missing": missing, "extra": packed_extra})
        header = IndexHeader(
            len(self._ends) - 1, self._total, ends_offset, blocks_offset, offset, len(meta), offset + len(meta),
            os.urandom(16), self._fingerprint, False, checksum(self._ends), checksum(self._hashes), checksum(meta),
        )  # fmt: skip
        self._append(offset, meta)
        self._publish(header)
        return self._file

    def abort(self) -> None:
        """Leave nothing behind."""
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

    def _list(self) -> None:
        """Put what records say into the columns, many at once: one by one takes longer than to encode them."""
        for column in self._columns.values():
            column.extend(self._unlisted)
        self._unlisted.clear()

    def _flush(self, size: int) -> None:
        """Write the first `size` pending bytes, a whole number of blocks except at the end."""
        ready = memoryview(self._pending)[:size]
        self._hashes.extend(checksum(ready[at : at + BLOCK_BYTES]) for at in range(0, size, BLOCK_BYTES))
        self._flushed = self._append(self._flushed, ready)
        ready.release()
        del self._pending[:size]

    def _append(self, offset: int, data: Any, *, align: int = 1) -> int:
        """Write `data` at `offset`, then zeros up to a multiple of `align`; returns the offset behind it."""
        view = memoryview(data).cast("B")
        end = offset + len(view)
        padding = -end % align
        for at, part in ((offset, view), (end, bytes(padding))):
            if len(part):
                self._write(at, part)
        return end + padding

    def _write(self, offset: int, data: Any) -> None:
        try:
            self._file.write_at(offset, data)
        except OSError as error:
            self._move(f"{self._file.path} cannot be written: {error.strerror}", error)
            self._file.write_at(offset, data)

    def _publish(self, header: IndexHeader) -> None:
        part, target = self._file.path, self._target
        try:
            self._file.write_at(0, replace(header, trusted=self._file.temporary).pack())
            if not (self._file.temporary or part is None or target is None):
                self._rename(part, target)
        except OSError as error:
            self._move(f"{target} cannot be written: {error.strerror}", error)
            self._file.write_at(0, replace(header, trusted=True).pack())

    def _rename(self, part: Path, target: Path) -> None:
        os.fsync(self._file.fd)
        self._file.lock_shared()
        os.replace(part, target)
        self._file.path = target
        with suppress(OSError):  # some file systems cannot sync a folder; the rename is atomic all the same
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _move(self, reason: str, error: OSError | None = None) -> None:
        """Go on in memory of the run with what was written so far; `error` is raised again when already there."""
        if self._file.temporary:
            if error is not None:
                raise error
            return
        self.moved = reason
        memory = SharedFile.in_memory()
        size = os.fstat(self._file.fd).st_size
        for at in range(0, size, _CHUNK_BYTES):
            memory.write_at(at, os.pread(self._file.fd, min(_CHUNK_BYTES, size - at), at))
        self.abort()
        self._file = memory
