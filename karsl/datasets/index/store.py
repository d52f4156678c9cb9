"""A mapped index file: reads one record, one column or everything, and notices every flipped byte."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from karsl.datasets.index.codec import decode, decode_trusted
from karsl.datasets.index.layout import BLOCK_BITS, BLOCK_BYTES, HEADER_BYTES, IndexHeader, checksum
from karsl.errors import IndexFileError
from karsl.io.shared_file import SharedFile


class IndexStore:
    """The pages of one index, mapped when first needed and never copied.

    Args:
        file: Where the index lies.
        fingerprint: Refuse an index of other inputs; None takes any.

    Raises:
        IndexFileError: (at first use) The file is torn, damaged, of another format, or has another fingerprint.
    """

    def __init__(self, file: SharedFile, fingerprint: str | None = None) -> None:
        self.file, self.fingerprint = file, fingerprint
        self.header: IndexHeader | None = None

    def open(self) -> IndexStore:
        """Map and check header, addresses and meta: about 2 ms for a million records."""
        self._checked_header()
        return self

    def _checked_header(self) -> IndexHeader:
        if self.header is not None:
            return self.header
        self._map = self.file.map() if self._file_bytes() >= HEADER_BYTES else b""
        whole = memoryview(self._map)
        header = IndexHeader.unpack(bytes(whole[:HEADER_BYTES]), len(whole), str(self))
        if self.fingerprint is not None and header.fingerprint != self.fingerprint:
            raise IndexFileError(f"{self} was made from other inputs (fingerprint {header.fingerprint})")
        if header.trusted and not self.file.temporary:
            raise IndexFileError(f"{self} claims pickled records, which karsl never reads from a file")
        self._whole = whole
        self._records = whole[HEADER_BYTES : HEADER_BYTES + header.data_bytes]
        self._ends = self._section(header.ends_offset, 8 * (header.count + 1), header.ends_hash, "addresses")
        hashes = self._section(header.blocks_offset, 8 * header.num_blocks, header.blocks_hash, "checksums")
        self._hashes = hashes.cast("Q")
        self._checked = bytearray(header.num_blocks)
        self._checked_columns: dict[str, np.ndarray] = {}
        meta = decode(self._section(header.meta_offset, header.meta_bytes, header.meta_hash, "meta"))
        self._decode = decode_trusted if header.trusted else decode
        self._columns, self.missing_columns, self._extra = meta["columns"], meta["missing"], meta["extra"]
        self.header, self.fingerprint = header, header.fingerprint
        return header

    def read(self, position: int) -> dict:
        """Record at `position`, which must lie in [0, count); a fresh private copy."""
        if self.header is None:
            self.open()
        start, end = _PAIR(self._ends, position << 3)
        first, last = start >> BLOCK_BITS, (end - 1) >> BLOCK_BITS
        if not self._checked[first] or last != first:
            self._check_blocks(first, last)
        return self._decode(self._records[start:end])

    @property
    def count(self) -> int:
        """Number of records."""
        return self._checked_header().count

    @property
    def extra(self) -> dict:
        """What was stored beside the records; a fresh copy."""
        self.open()
        return self._decode(self._extra)

    @property
    def columns(self) -> Mapping[str, dict]:
        """Name to where each column lies."""
        self.open()
        return self._columns

    @property
    def ends(self) -> np.ndarray:
        """int64 (count,) END offsets of the records, a read-only view."""
        self.open()
        return np.frombuffer(self._ends, np.int64)[1:]

    @property
    def data(self) -> np.ndarray:
        """uint8 (data_bytes,) of all records, a read-only view; checks every block first."""
        self._check_blocks(0, self._checked_header().num_blocks - 1)
        return np.frombuffer(self._records, np.uint8)

    def column(self, name: str) -> np.ndarray:
        """(count,) numbers beside the records, a read-only view."""
        where = self.columns[name]
        if name in self._checked_columns:
            return self._checked_columns[name]
        dtype = np.dtype(where["dtype"])
        section = self._section(where["offset"], dtype.itemsize * self.count, where["hash"], f"column {name!r}")
        return self._checked_columns.setdefault(name, np.frombuffer(section, dtype))

    def _check_blocks(self, first: int, last: int) -> None:
        checked = self._checked
        for block in range(first, last + 1):
            if not checked[block]:
                data = self._records[block << BLOCK_BITS : (block << BLOCK_BITS) + BLOCK_BYTES]
                if checksum(data) != self._hashes[block]:
                    raise self._damaged(f"block {block} of the records")
                checked[block] = 1

    def _section(self, offset: int, length: int, expected: int, what: str) -> memoryview:
        section = self._whole[offset : offset + length]
        if len(section) != length or checksum(section) != expected:
            raise self._damaged(what)
        return section

    def _damaged(self, what: str) -> IndexFileError:
        """Also unlinks the file, since the quick check at the next start would not see damage among the records."""
        path = self.file.path
        if path is not None:
            with suppress(OSError):
                if os.path.samestat(path.stat(), os.fstat(self.file.fd)):
                    path.unlink()
        return IndexFileError(f"{self} is damaged ({what} fails its checksum); it was removed, start again to rebuild it")

    def _file_bytes(self) -> int:
        return os.fstat(self.file.fd).st_size

    def __str__(self) -> str:
        return f"index file {self.file.path}" if self.file.path else "index in shared memory"

    def __reduce__(self) -> tuple:
        return IndexStore, (self.file, self.fingerprint)


_PAIR = struct.Struct("<qq").unpack_from
