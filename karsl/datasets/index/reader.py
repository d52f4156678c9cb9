"""Layout of an index file, its header, and its reader.

```
0      header, 4096 bytes, written last: a file without it is incomplete and never used
4096   records, one after the other, as written by `codec.encode`
       int64 0, then int64 END offsets, one per record (MMEngine's `data_address` after a leading zero)
       columns, each 8-byte aligned: one number per record
       uint64 checksum per 64 KiB block of the records
       meta, by the codec: column table, metadata of the dataset
```
All numbers are little-endian. Every byte is covered by an xxh3 checksum: header, addresses and meta are checked when the
file is opened, a column at its first use, a block of records at its first read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Annotated, Any

import msgspec
import numpy as np
import xxhash

from karsl.datasets.index.codec import decode, decode_pickled
from karsl.errors import IndexFileError
from karsl.io.shared_file import SharedFile
from karsl.schema import Count, UInt64, convert

FORMAT_VERSION = 1
HEADER_BYTES = 4096
BLOCK_BITS = 16
BLOCK_BYTES = 1 << BLOCK_BITS

_MAGIC = b"KARSLIDX"
_STRUCT = struct.Struct("<8sIIQQQQQQQ16s32sQQQ")
_PAIR = struct.Struct("<qq").unpack_from


@dataclass(frozen=True)
class IndexHeader:
    """Offsets of the sections, in bytes from the start of the file, and their checksums.

    Args:
        trusted: True if records may be pickles, which only memory of this run may contain.
        run_id: Random per build, distinguishes two builds of the same inputs.
        fingerprint: Fingerprint of the inputs, hex.
    """

    count: int
    data_bytes: int
    ends_offset: int
    blocks_offset: int
    meta_offset: int
    meta_bytes: int
    file_bytes: int
    run_id: bytes
    fingerprint: str
    trusted: bool
    ends_hash: int
    blocks_hash: int
    meta_hash: int

    def pack(self) -> bytes:
        """Return the header page."""
        count, data, ends, blocks, meta, meta_bytes, total, run_id, name, trusted, *hashes = astuple(self)
        body = _STRUCT.pack(
            _MAGIC, FORMAT_VERSION, int(trusted), count, data, ends, blocks, meta, meta_bytes, total, run_id,
            name.encode("ascii"), *hashes,
        )  # fmt: skip
        return (body + struct.pack("<Q", checksum(body))).ljust(HEADER_BYTES, b"\0")

    @classmethod
    def unpack(cls, page: bytes, file_bytes: int, where: str) -> IndexHeader:
        """Parse and check a header page.

        Args:
            page: First `HEADER_BYTES` of the file.
            file_bytes: Actual size of the file.
            where: Name of the file, for errors.

        Raises:
            IndexFileError: If the page is incomplete, damaged or of another format version.
        """
        if len(page) < HEADER_BYTES or not page.startswith(_MAGIC):
            raise IndexFileError(f"{where} is not a complete karsl index file")
        _, version, flags, *rest = _STRUCT.unpack_from(page)
        if version != FORMAT_VERSION:
            raise IndexFileError(f"{where} has index format {version}, this karsl reads {FORMAT_VERSION}")
        body, stored = page[: _STRUCT.size], struct.unpack_from("<Q", page, _STRUCT.size)[0]
        if checksum(body) != stored or page[_STRUCT.size + 8 :].strip(b"\0"):
            raise IndexFileError(f"{where} has a damaged header")
        sizes, (run_id, name), hashes = rest[:7], rest[7:9], rest[9:]
        header = cls(*sizes, run_id, name.rstrip(b"\0").decode(), bool(flags), *hashes)  # type: ignore[call-arg]
        if header.file_bytes != file_bytes:
            raise IndexFileError(f"{where} has {file_bytes} bytes instead of {header.file_bytes}: it is truncated")
        return header

    @property
    def num_blocks(self) -> int:
        """Number of checksummed blocks of the records."""
        return -(-self.data_bytes // BLOCK_BYTES)


def checksum(data: Any) -> int:
    """Return the xxh3 checksum, 64 bits. Over 10 GB/s, and it detects every single-bit flip."""
    return xxhash.xxh3_64_intdigest(data)


@dataclass(frozen=True)
class _Column:
    """Entry of the column table."""

    dtype: Annotated[str, msgspec.Meta(pattern="^<(i8|u8|i4|f8)$")]
    offset: Count
    hash: UInt64
    codes: list[str | int] | None


@dataclass(frozen=True)
class _Meta:
    """Content of the section meta."""

    columns: dict[str, _Column]
    missing: dict[str, str]
    extra: bytes


class IndexReader:
    """Maps an index file at first use.

    Args:
        file: Index file, or memory of the run.
        fingerprint: Expected fingerprint; None accepts any.

    Raises:
        IndexFileError: At first use, if the file is incomplete, damaged, of another format or has another fingerprint.
    """

    def __init__(self, file: SharedFile, fingerprint: str | None = None) -> None:
        self.file, self.fingerprint = file, fingerprint
        self.header: IndexHeader | None = None

    def open(self) -> IndexReader:
        """Map the file and check header, addresses and meta, once: about 2 ms for a million records."""
        if self.header is not None:
            return self
        self._map = self.file.map() if os.fstat(self.file.fd).st_size >= HEADER_BYTES else b""
        view = memoryview(self._map)
        header = IndexHeader.unpack(bytes(view[:HEADER_BYTES]), len(view), str(self))
        if self.fingerprint is not None and header.fingerprint != self.fingerprint:
            raise IndexFileError(f"{self} was made from other inputs (fingerprint {header.fingerprint})")
        if header.trusted and not self.file.temporary:
            raise IndexFileError(f"{self} contains pickled records, which karsl never reads from a file")
        self._view = view
        self._records = view[HEADER_BYTES : HEADER_BYTES + header.data_bytes]
        self._ends = self._section(header.ends_offset, 8 * (header.count + 1), header.ends_hash, "addresses")
        hashes = self._section(header.blocks_offset, 8 * header.num_blocks, header.blocks_hash, "checksums")
        self._hashes = hashes.cast("Q")
        self._checked = bytearray(header.num_blocks)
        self._checked_columns: dict[str, np.ndarray] = {}
        ends = np.frombuffer(self._ends, np.int64)
        if ends[0] != 0 or ends[-1] != header.data_bytes or (ends[1:] <= ends[:-1]).any():
            raise self._damaged("an address is not that of a record")
        self._decode = decode_pickled if header.trusted else decode
        meta = self._decoded(self._section(header.meta_offset, header.meta_bytes, header.meta_hash, "meta"), decode)
        convert(meta, _Meta, where=self, error=IndexFileError, remedy="start again to rebuild it")
        self._columns, self.missing_columns, self._meta = meta["columns"], meta["missing"], meta["extra"]
        self.header, self.fingerprint, self._num_records = header, header.fingerprint, header.count
        return self

    def read(self, position: int) -> dict:
        """Return a private copy of the record at `position`, in [0, count)."""
        if self.header is None:
            self.open()
        start, end = _PAIR(self._ends, position << 3)
        first, last = start >> BLOCK_BITS, (end - 1) >> BLOCK_BITS
        if not self._checked[first] or last != first:
            self._check_blocks(first, last)
        return self._decoded(self._records[start:end], self._decode)

    @property
    def count(self) -> int:
        """Number of records."""
        return self.open()._num_records

    @property
    def meta(self) -> dict:
        """Private copy of the metadata stored with the records."""
        self.open()
        meta = self._decoded(self._meta, self._decode)
        if not isinstance(meta, dict):
            raise self._damaged("the metadata is no dict")
        return meta

    @property
    def columns(self) -> Mapping[str, dict]:
        """Entry of each column: dtype, offset, checksum, category values."""
        return self.open()._columns

    @property
    def ends(self) -> np.ndarray:
        """END offsets of the records, int64 (count,), read-only."""
        return np.frombuffer(self.open()._ends, np.int64)[1:]

    @property
    def data(self) -> np.ndarray:
        """Bytes of all records, uint8 (data_bytes,), read-only. Checks every block."""
        self._check_blocks(0, len(self.open()._checked) - 1)
        return np.frombuffer(self._records, np.uint8)

    def column(self, name: str) -> np.ndarray:
        """Return a column, (count,), read-only."""
        entry = self.columns[name]
        if name in self._checked_columns:
            return self._checked_columns[name]
        dtype = np.dtype(entry["dtype"])
        section = self._section(entry["offset"], dtype.itemsize * self.count, entry["hash"], f"column {name!r}")
        values = np.frombuffer(section, dtype)
        if entry["codes"] is not None and len(values) and not 0 <= values.min() <= values.max() < len(entry["codes"]):
            raise self._damaged(f"column {name!r} has codes of no category")
        return self._checked_columns.setdefault(name, values)

    def _decoded(self, data: Any, decode: Callable[[Any], Any]) -> Any:
        try:
            return decode(data)
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _check_blocks(self, first: int, last: int) -> None:
        checked = self._checked
        for block in range(first, last + 1):
            if not checked[block]:
                data = self._records[block << BLOCK_BITS : (block << BLOCK_BITS) + BLOCK_BYTES]
                if checksum(data) != self._hashes[block]:
                    raise self._damaged(f"block {block} of the records fails its checksum")
                checked[block] = 1

    def _section(self, offset: int, length: int, expected: int, what: str) -> memoryview:
        section = self._view[offset : offset + length]
        if len(section) != length or checksum(section) != expected:
            raise self._damaged(f"{what} fails its checksum")
        return section

    def _damaged(self, what: str) -> IndexFileError:
        """Make the error, and delete the file: the quick check at the next start does not cover the records."""
        path, remedy = self.file.path, "start again to rebuild it"
        try:
            if path is not None and os.path.samestat(path.stat(), os.fstat(self.file.fd)):
                path.unlink()
        except FileNotFoundError:  # another process found the damage and deleted it
            pass
        except OSError as error:
            remedy = f"it cannot be deleted ({error.strerror}); delete it and start again to rebuild it"
        return IndexFileError(f"{self} is damaged ({what}); {remedy}")

    def __str__(self) -> str:
        return f"index file {self.file.path}" if self.file.path else "index in shared memory"

    def __reduce__(self) -> tuple:
        return IndexReader, (self.file, self.fingerprint)
