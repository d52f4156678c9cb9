"""What lies in a tar: members grouped into samples by WebDataset's rule, and the clip of a sample."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from karsl.errors import CorruptRecordError
from karsl.storage.npy import BROKEN_ARCHIVE, HEADER_BYTES, ShortHeader, array_of, parse_header

_BLOCK = 512
_CHUNK = 1 << 20
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_DAMAGED = (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Member:
    """A file in a tar: its name, its first byte in the archive, its size."""

    name: str
    start: int
    size: int


def is_compressed(path: str | Path) -> bool:
    """Whether a file begins like gzip, bzip2, xz or zstandard, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(6).startswith((*_OPENERS, _ZSTANDARD))


def list_tar(path: str | Path) -> list[Member]:
    """The regular files of an uncompressed tar, in order.

    Raises:
        CorruptRecordError: Not a tar, cut off inside a member or before the blocks that end an archive, or sparse.
    """
    size = Path(path).stat().st_size
    with tarfile_errors(path), tarfile.open(path, "r:") as archive:
        infos = list(archive)
    members = [_member(path, i, i.offset_data) for i in infos if i.isreg()]
    end = max((i.offset_data + -(-i.size // _BLOCK) * _BLOCK for i in infos), default=0)
    with open(path, "rb") as stream:
        stream.seek(end)
        closing = stream.read(_BLOCK)
    if end > size or closing != bytes(_BLOCK):
        last = f"after {infos[-1].name!r}" if infos else "at its beginning"
        raise CorruptRecordError(f"{path}: cut off {last}, at byte {size}; the archive has no end, copy it again")
    return members


def stream_tar(path: str | Path) -> Iterator[tuple[Member, bytes]]:
    """The files of a tar, compressed or not, read from front to back.

    Raises:
        CorruptRecordError: Not a tar, cut off, damaged, or sparse.
    """
    with tarfile_errors(path), _plain(path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader) as archive:
            for info in archive:
                if info.isreg():
                    member, content = _member(path, info, -1), archive.extractfile(info)
                    yield member, content.read() if content else b""
        while stream.read(_CHUNK):  # a checksum lies at the end of what was compressed
            pass


def _member(path: str | Path, info: tarfile.TarInfo, start: int) -> Member:
    if info.issparse():  # its bytes do not lie one after the other
        raise CorruptRecordError(
            f"{path}: {info.name!r} lies there without its zeros; write the tar again without -S, --sparse"
        )
    return Member(info.name, start, info.size)


def _plain(path: str | Path) -> IO[bytes]:
    """The bytes of a file as they were before it was compressed; all parts of it, where it was compressed in parts."""
    with open(path, "rb") as stream:
        head = stream.read(6)
    if head.startswith(_ZSTANDARD):
        raise tarfile.ReadError("zstandard is not read here, unpack it with 'zstd -d'")
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)
    return opener(path, "rb")  # type: ignore[operator,return-value]  # of four openers with one signature


class _StrictHeader(tarfile.TarInfo):
    """Only a block of zeros ends an archive: tarfile takes a broken header, or none, for the end as well."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictHeader:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(_BLOCK):
                raise
            raise tarfile.ReadError(f"{error} where a member or the end is expected") from error


class tarfile_errors:  # noqa: N801 - reads as a statement
    """Turns what tarfile and the decompressors raise into one `CorruptRecordError`."""

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        from_decompressor = isinstance(error, OSError) and error.errno is None
        if isinstance(error, _DAMAGED) or from_decompressor:
            raise CorruptRecordError(f"{self.path}: no readable tar ({error}); is it cut off? Copy it again") from error


def group_samples(members: Iterable[Member], path: str | Path) -> dict[str, dict[str, Member]]:
    """Members by sample and extension: the key is the name up to the first dot after the last slash.

    Raises:
        CorruptRecordError: Two members of one name.

    Example:
        >>> group_samples([Member("a/1.npy", 0, 1), Member("a/1.json", 2, 1)], "x.tar")["a/1"].keys()
        dict_keys(['npy', 'json'])
    """
    samples: dict[str, dict[str, Member]] = {}
    for member in members:
        folder, slash, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if not dot or not stem:
            continue
        sample = samples.setdefault(f"{folder}{slash}{stem}", {})
        if extension.lower() in sample:
            raise CorruptRecordError(f"{path}: two members {member.name!r}; a sample has one of each extension")
        sample[extension.lower()] = member
    return samples


def clip_extension(extensions: Iterable[str], wanted: str | None, where: str) -> str | None:
    """Which member of a sample is the clip: the wanted one, else the only array; None if there is none.

    Raises:
        CorruptRecordError: Several arrays, and none is called `npy`.
    """
    arrays = [e for e in extensions if e.rpartition(".")[2] in ("npy", "npz")]
    if wanted is not None:
        return wanted if wanted in arrays else None
    if len(arrays) > 1 and "npy" not in arrays:
        raise CorruptRecordError(f"{where}: several arrays, {arrays}; say which is the clip with member='{arrays[0]}'")
    return "npy" if "npy" in arrays else (arrays[0] if arrays else None)


def read_array(content: bytes, extension: str, where: str) -> np.ndarray:
    """The array of an npy or npz member; an npz holds one, or `keypoint` and maybe `keypoint_score`.

    Raises:
        CorruptRecordError: Not that, or Python objects.
    """
    try:
        if extension.rpartition(".")[2] == "npy":
            return array_of(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = arrays.files
            if "keypoint" in names and "keypoint_score" in names:
                return np.concatenate([arrays["keypoint"], arrays["keypoint_score"][..., None]], axis=-1)
            if len(names) == 1 or "keypoint" in names:
                return arrays["keypoint" if "keypoint" in names else names[0]]
    except (*BROKEN_ARCHIVE, AttributeError) as error:  # an array where an archive is told is no context
        raise CorruptRecordError(f"{where}: no readable array ({error}); write the sample again") from error
    raise CorruptRecordError(f"{where}: an npz of {names}; one array is expected, or 'keypoint' and 'keypoint_score'")


def npy_header(archive: bytes | mmap.mmap, member: Member, where: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns come first, dtype, and first byte of the numbers of an npy member in an archive.

    Raises:
        CorruptRecordError: No npy header.
    """

    def head(size: int) -> bytes:
        return archive[member.start : member.start + min(size, member.size)]

    try:
        try:
            found = parse_header(head(HEADER_BYTES))
        except ShortHeader as short:
            found = parse_header(head(short.args[0]))
    except ValueError as error:
        raise CorruptRecordError(f"{where}: no readable .npy member ({error}); write the sample again") from error
    return *found[:3], member.start + found[3]
