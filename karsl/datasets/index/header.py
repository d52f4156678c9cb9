"""Layout of an index file, and its header.

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

import struct
from dataclasses import astuple, dataclass
from typing import Any

import xxhash

from karsl.errors import IndexFileError

FORMAT_VERSION = 1
HEADER_BYTES = 4096
BLOCK_BITS = 16
BLOCK_BYTES = 1 << BLOCK_BITS

_MAGIC = b"KARSLIDX"
_STRUCT = struct.Struct("<8sIIQQQQQQQ16s32sQQQ")


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
