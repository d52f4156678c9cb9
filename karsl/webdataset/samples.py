"""Members of a tar, grouped into samples by WebDataset's rule: their arrays, their metadata and the records they become."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from karsl.errors import AnnotationError, CorruptRecordError
from karsl.io.annotations import LOCATOR_KEYS
from karsl.io.npy import BROKEN_ARCHIVE, MAX_HEADER, array_from, read_header
from karsl.io.npz import check_unpacked_size
from karsl.schema import parse_json, whole_number

_BLOCK_BYTES = 512
_CHUNK_BYTES = 1 << 20
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_NAME_TYPES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_NAME_BYTES = 1 << 20
_MAX_EMPTY_READS = 8
_ZSTANDARD = b"\x28\xb5\x2f\xfd"
_DAMAGED = (tarfile.TarError, EOFError, ValueError, OverflowError, zlib.error, lzma.LZMAError)
_RESERVED_KEYS = LOCATOR_KEYS | {"keypoint", "keypoint_score", "frame_inds", "centered", "inputs", "skeleton", "sample_key"}


@dataclass(frozen=True)
class TarMember:
    """One file in a tar: its name, the offset of its content and its size in bytes."""

    name: str
    start: int
    size: int


def is_compressed(path: str | Path) -> bool:
    """Return True if a file starts like gzip, bzip2, xz or zstandard, whatever its name."""
    with open(path, "rb") as stream:
        return stream.read(6).startswith((*_OPENERS, _ZSTANDARD))


def list_tar(path: str | Path) -> list[TarMember]:
    """List the regular files of an uncompressed tar, in order.

    Raises:
        CorruptRecordError: If it is not a tar, is truncated, or has sparse members.
    """
    size = Path(path).stat().st_size
    with _tar_errors(path), tarfile.open(path, "r:") as archive:
        infos = list(archive)
    members = [_to_member(path, i, i.offset_data) for i in infos if i.isreg()]
    end = max((i.offset_data + -(-i.size // _BLOCK_BYTES) * _BLOCK_BYTES for i in infos), default=0)
    with open(path, "rb") as stream:
        stream.seek(end)
        closing = stream.read(_BLOCK_BYTES)
    if end > size or closing != bytes(_BLOCK_BYTES):
        last = f"after {infos[-1].name!r}" if infos else "at its beginning"
        raise CorruptRecordError(f"{path}: cut off {last}, at byte {size}; the archive has no end, copy it again")
    return members


def iter_tar(path: str | Path) -> Iterator[tuple[TarMember, bytes]]:
    """Yield the regular files of a tar, compressed or not, read sequentially.

    Raises:
        CorruptRecordError: If it is not a tar, is truncated or damaged, or has sparse members.
    """
    with _tar_errors(path), _open_decompressed(path) as stream:
        source: Any = _EndingStream(stream)
        with tarfile.open(fileobj=source, mode="r|", tarinfo=_StrictHeader) as archive:
            for info in archive:
                if info.isreg():
                    check_unpacked_size(info.size)
                    member, content = _to_member(path, info, -1), archive.extractfile(info)
                    yield member, content.read() if content else b""
        while stream.read(_CHUNK_BYTES):  # the checksum at the end of compressed data
            pass


def _to_member(path: str | Path, info: tarfile.TarInfo, start: int) -> TarMember:
    if info.issparse():  # its bytes are not contiguous
        raise CorruptRecordError(f"{path}: {info.name!r} is a sparse file; write the tar again without -S, --sparse")
    return TarMember(info.name, start, info.size)


def _open_decompressed(path: str | Path) -> IO[bytes]:
    with open(path, "rb") as stream:
        head = stream.read(6)
    if head.startswith(_ZSTANDARD):
        raise tarfile.ReadError("zstandard is not supported, unpack it with 'zstd -d'")
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), open)
    return opener(path, "rb")  # type: ignore[operator,return-value]  # four openers with one signature


class _StrictHeader(tarfile.TarInfo):
    """Header that accepts only a block of zeros as the end: tarfile also accepts a damaged header, or none."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictHeader:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if bytes(buf) == bytes(_BLOCK_BYTES):
                raise
            raise tarfile.ReadError(f"{error} where a member or the end is expected") from error
        if info.type in _NAME_TYPES and info.size > _MAX_NAME_BYTES:  # it is read into memory
            raise tarfile.ReadError(f"names of {info.size} bytes, more than {_MAX_NAME_BYTES}")
        return info


class _EndingStream:
    """Stream that ends once: tarfile reads on to skip a member, 2**48 times if a header says that it has 2**62 bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._empty_reads = stream, 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._empty_reads += not data
        if self._empty_reads > _MAX_EMPTY_READS:
            raise tarfile.ReadError("it ends inside a member")
        return data


@contextmanager
def _tar_errors(path: str | Path) -> Iterator[None]:
    """Turn the errors of tarfile and the decompressors into a `CorruptRecordError`."""
    try:
        yield
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, CorruptRecordError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # an error of the operating system, not of a decompressor
        raise CorruptRecordError(f"{path}: no readable tar ({error}); is it cut off? Copy it again") from error


def group_samples(members: Iterable[TarMember], path: str | Path) -> dict[str, dict[str, TarMember]]:
    """Group members by sample and extension; the key is the name up to the first dot after the last slash.

    Raises:
        CorruptRecordError: If two members have the same name.

    Example:
        >>> group_samples([TarMember("a/1.npy", 0, 1), TarMember("a/1.json", 2, 1)], "x.tar")["a/1"].keys()
        dict_keys(['npy', 'json'])
    """
    samples: dict[str, dict[str, TarMember]] = {}
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


def clip_extension(extensions: Iterable[str], requested: str | None, where: str) -> str | None:
    """Return the extension of a sample's clip: the requested one, else that of the only array; None if there is none.

    Raises:
        CorruptRecordError: If there are several arrays and none has the extension `npy`.
    """
    arrays = [e for e in extensions if e.rpartition(".")[2] in ("npy", "npz")]
    if requested is not None:
        return requested if requested in arrays else None
    if len(arrays) > 1 and "npy" not in arrays:
        raise CorruptRecordError(f"{where}: several arrays, {arrays}; select the clip with member='{arrays[0]}'")
    return "npy" if "npy" in arrays else (arrays[0] if arrays else None)


def read_array(content: bytes, extension: str, where: str) -> np.ndarray:
    """Read an npy or npz member; an npz contains one array, or `keypoint` and optionally `keypoint_score`.

    Raises:
        CorruptRecordError: If it does not, or contains Python objects.
    """
    try:
        if extension.rpartition(".")[2] == "npy":
            return array_from(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            check_unpacked_size(sum(info.file_size for info in arrays.zip.infolist()))
            names = arrays.files
            if "keypoint" in names and "keypoint_score" in names:
                return np.concatenate([arrays["keypoint"], arrays["keypoint_score"][..., None]], axis=-1)
            if len(names) == 1 or "keypoint" in names:
                return arrays["keypoint" if "keypoint" in names else names[0]]
    except (*BROKEN_ARCHIVE, AttributeError) as error:  # np.load returns an array, no context manager, for an npy in an npz
        raise CorruptRecordError(f"{where}: no readable array ({error}); write the sample again") from error
    raise CorruptRecordError(f"{where}: an npz of {names}; one array is expected, or 'keypoint' and 'keypoint_score'")


def npy_header(archive: bytes | mmap.mmap, member: TarMember, where: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Return shape, Fortran order, dtype and offset of the data of an npy member in an archive.

    Raises:
        CorruptRecordError: If it has no npy header.
    """
    head = archive[member.start : member.start + min(member.size, MAX_HEADER)]
    try:
        shape, fortran, dtype, start = read_header(io.BytesIO(head))
    except ValueError as error:
        raise CorruptRecordError(f"{where}: no readable .npy member ({error}); write the sample again") from error
    return shape, fortran, dtype, member.start + start


def read_sample_json(sample: Mapping[str, bytes], where: str) -> dict:
    """Read the metadata of a sample from `.json` and `.cls`; the label in `.cls` overrides the one in `.json`.

    Raises:
        CorruptRecordError: If `.json` is not an object or `.cls` is not a number.

    Example:
        >>> read_sample_json({"cls": b"3", "json": b'{"signer": "01", "label": "hello"}'}, "x.tar: a")
        {'signer': '01', 'label': 3}
    """
    try:
        metadata = parse_json(sample["json"]) if "json" in sample else {}
    except ValueError as error:
        raise CorruptRecordError(f"{where}: its .json cannot be read ({error}); write the sample again") from error
    if not isinstance(metadata, dict):
        raise CorruptRecordError(f"{where}: its .json holds a {type(metadata).__name__}; an object is expected")
    if "cls" not in sample:
        return metadata
    label = whole_number(sample["cls"])
    if label is None:
        raise CorruptRecordError(
            f"{where}: its .cls holds {sample['cls'][:20]!r}, which is no number; write the sample again"
        )
    return metadata | {"label": label}


def to_record(key: str, metadata: Mapping[str, Any], signs: Mapping[int, int], where: str) -> dict:
    """Convert the metadata of a sample to a record without a locator.

    Args:
        key: Key of the sample; the `clip_id` unless the metadata has one.
        metadata: See `read_sample_json`. Keys that locate clips or that pipelines use are ignored, and so is a sign that is
            neither a number nor a string.
        signs: Label of each SignID, for a clip without a label.
        where: Name of the tar in errors.

    Raises:
        AnnotationError: If the label is not an integer.

    Example:
        >>> to_record("a", {"sign": 9, "frame_start": 12, "fps": 25}, {7: 0, 9: 1}, "x.tar")
        {'clip_id': 'a', 'sign': 9, 'fps': 25, 'label': 1}
    """
    record = {"clip_id": key, **{name: value for name, value in metadata.items() if name not in _RESERVED_KEYS}}
    if not isinstance(record["clip_id"], str):
        record["clip_id"] = key
    if not isinstance(record.get("sign", 0), (int, str)):
        del record["sign"]
    label, sign = record.pop("label", None), record.get("sign")
    if label is None and isinstance(sign, int):
        label = signs.get(sign)
    if label is None:
        return record
    number = whole_number(label)
    if number is None:
        raise AnnotationError(
            f"{where}: sample {key!r} has label {label!r}, not an integer; correct its .json, or give the label in a .cls"
        )
    return {**record, "label": number}
