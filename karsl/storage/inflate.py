"""Members of zip archives, inflated at once when their place is known."""

from __future__ import annotations

import zlib
from types import ModuleType

_zlib: ModuleType = zlib
try:  # the extra [fast]; twice as fast on keypoints, and its CRC ten times
    from isal import isal_zlib

    _zlib = isal_zlib
except ImportError:
    pass

_BROKEN: tuple[type[Exception], ...] = (zlib.error, _zlib.error)
STORED, DEFLATED = 0, 8
_RAW = -15  # no zlib header: what zip archives hold


def unpacked(stored: bytes, *, method: int, size: int, crc: int) -> bytes:
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
    data = stored
    if method == DEFLATED:
        try:
            data = _zlib.decompressobj(_RAW).decompress(stored, size + 1)
        except _BROKEN as error:
            raise ValueError(str(error)) from error
    if len(data) != size:
        raise ValueError(f"{len(data)} bytes instead of {size}")
    if _zlib.crc32(data) != crc:
        raise ValueError("Bad CRC-32")
    return data


def first_bytes(stored: bytes, *, method: int, size: int) -> bytes:
    """At most `size` bytes of the beginning of a member, from the first of its stored bytes; not checked.

    Raises:
        ValueError: They cannot be inflated.
    """
    if method == STORED:
        return stored[:size]
    try:
        return zlib.decompressobj(_RAW).decompress(stored, size)
    except zlib.error as error:
        raise ValueError(str(error)) from error
