"""Members of zip archives, inflated at once when their place is known."""

from __future__ import annotations

import zlib

try:  # the extra [fast]
    import deflate
except ImportError:
    deflate = None  # type: ignore[assignment]

STORED, DEFLATED = 0, 8
_RAW = -15  # no zlib header: what zip archives hold
_MOST = 1032  # bytes that one byte of DEFLATE stands for at most; a directory that promises more is damaged


def unpacked(stored: bytes, *, method: int, size: int, crc: int) -> bytes | bytearray:
    """The bytes of a member, checked.

    Args:
        stored: As they lie in the archive.
        method: `STORED` or `DEFLATED`.
        size: Bytes of the member; no more are ever inflated.
        crc: CRC-32 of the member.

    Raises:
        ValueError: The bytes are not those that the archive's directory promises.

    Example:
        >>> unpacked(b"abc", method=STORED, size=3, crc=0x352441C2)
        b'abc'
    """
    data = _inflated(stored, size) if method == DEFLATED else stored
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    if (deflate or zlib).crc32(data) != crc:
        raise ValueError("Bad CRC-32")
    return data


def _inflated(stored: bytes, size: int) -> bytes | bytearray:
    if size > _MOST * len(stored):
        raise ValueError(f"{size} bytes cannot come of {len(stored)}")
    if deflate is None:
        return _with_zlib(stored, size + 1)
    try:
        return deflate.deflate_decompress(stored, size)
    except deflate.DeflateError as error:
        raise ValueError(str(error)) from error


def _with_zlib(stored: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj(_RAW).decompress(stored, most)
    except zlib.error as error:
        raise ValueError(str(error)) from error


def first_bytes(stored: bytes, *, method: int, size: int) -> bytes:
    """At most `size` bytes of the beginning of a member, from the first of its stored bytes; not checked.

    Raises:
        ValueError: They cannot be inflated.
    """
    return stored[:size] if method == STORED else _with_zlib(stored, size)
