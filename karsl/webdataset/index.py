"""Index of a tar: the position of each clip's data, so that the archive can be mapped and read in any order.

An index is stored next to its tar (`clips-000000.tar.index`) or in a cache folder. It is valid for a file of the same size
and time, or of the same checksum. It has a checksum of itself and one per clip, so any flipped bit is detected.
"""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from xxhash import xxh3_64, xxh3_64_hexdigest, xxh3_64_intdigest

from karsl.errors import CorruptRecordError, pluralize
from karsl.io.addresses import CLIP_DTYPES, ClipLayout, row_offset
from karsl.io.atomic import atomic_path
from karsl.io.clip import canonical_clip, shape_problem
from karsl.schema import Count, UInt64, convert, parse_json
from karsl.webdataset.samples import TarMember, clip_extension, group_samples, list_tar, npy_header, read_sample_json

SUFFIX = ".index"
_FORMAT = "karsl tar index 1"
_CLIPS_KEY = ',"clips":'  # the last key of an index file
_MAPPABLE = (np.dtype("<f2"), np.dtype("<f4"))


class TarClip(msgspec.Struct, frozen=True, rename={"metadata": "facts"}):
    """One clip of a tar.

    Attributes:
        key: Key of its sample.
        start: Offset of its data in the archive; -1 if it cannot be mapped.
        frames: T.
        dtype: Dtype of the data.
        xxh3: Checksum of the data, an unsigned 64-bit integer.
        metadata: Content of its `.json` and `.cls`.
    """

    key: str
    start: Annotated[int, msgspec.Meta(ge=-1, le=(1 << 63) - 1)]
    frames: Count
    dtype: str
    xxh3: UInt64
    metadata: dict[str, Any]


class TarIndex(msgspec.Struct, frozen=True, rename={"skipped": "others"}):
    """Index of a tar.

    Attributes:
        size, mtime_ns, xxh3: Size, modification time and checksum of the tar.
        num_keypoints: V of every clip; 0 without clips.
        mapped: Every clip can be read from the mapped archive as it is.
        skipped: Number of samples without a clip.
        clips: Clips in the order of the archive.
    """

    size: Count
    mtime_ns: int
    xxh3: str
    num_keypoints: Count
    mapped: bool
    skipped: Count
    clips: tuple[TarClip, ...]

    def write(self, path: Path) -> None:
        """Write the index file atomically."""
        body = json.dumps(msgspec.to_builtins(self), ensure_ascii=False, separators=(",", ":"))
        head = json.dumps({"form": _FORMAT, "xxh3": xxh3_64_hexdigest(body.encode())})
        with atomic_path(path) as temp:
            temp.write_text(f"{head}\n{body}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path, *, clips: bool = True) -> TarIndex:
        """Read an index file.

        Args:
            path: Path of the index.
            clips: False skips the clips, which take nearly all of the time; the checksum is that of everything.

        Raises:
            CorruptRecordError: If the file is damaged or has another format.
        """
        remedy = "remove it to have it made again"
        try:
            head, body, _ = path.read_text(encoding="utf-8").split("\n")
            if parse_json(head) != {"form": _FORMAT, "xxh3": xxh3_64_hexdigest(body.encode())}:
                raise ValueError("its checksum is not that of its content")
            content = parse_json(body if clips else body.partition(_CLIPS_KEY)[0] + _CLIPS_KEY + "[]}")
        except ValueError as error:
            raise CorruptRecordError(f"{path}: a damaged tar index ({error}); {remedy}") from error
        index = convert(content, cls, where=path, error=CorruptRecordError, remedy=remedy)
        _check_addresses(index, path, remedy)
        return index


def _check_addresses(index: TarIndex, path: Path, remedy: str) -> None:
    """Check that every clip that is read in place is inside the tar, since an index may be of another tar or writer.

    Raises:
        CorruptRecordError: If one is not.
    """
    frame_bytes = {name: ClipLayout(dtype, index.num_keypoints).frame_bytes for name, dtype in CLIP_DTYPES.items()}
    for clip in index.clips:
        if clip.start < 0 and not index.mapped:
            continue
        size = frame_bytes.get(clip.dtype, 0)
        if size < 1 or row_offset(clip.start, clip.frames, 1, size, index.size) < 0:
            raise CorruptRecordError(
                f"{path}: clip {clip.key!r}: a tar of {index.size} bytes does not have "
                f"{pluralize(clip.frames, 'frame')} of {clip.dtype} at byte {clip.start}; {remedy}"
            )


def index_tar(path: str | Path, *, member: str | None = None, nonfinite: str = "raise") -> TarIndex:
    """Index an uncompressed tar, checking every clip.

    Args:
        path: Path of the archive.
        member: Extension of the clips; None selects the only array of a sample.
        nonfinite: `'raise'`, or `'missing'` if NaN marks a missing point.

    Raises:
        CorruptRecordError: If the archive or a clip is damaged; the error names the member and its offset.
    """
    path = Path(path)
    samples = group_samples(list_tar(path), path)
    stat = path.stat()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        clips, skipped, num_keypoints = [], 0, 0
        for key, sample in samples.items():
            extension = clip_extension(sample, member, f"{path}: sample {key!r}")
            if extension is None:
                skipped += 1
                continue
            clip, num_keypoints = _index_clip(path, memory, key, sample, extension, num_keypoints, nonfinite)
            clips.append(clip)
        digest = xxh3_64(memory).hexdigest()
    mapped = all(clip.start >= 0 for clip in clips)
    return TarIndex(stat.st_size, stat.st_mtime_ns, digest, num_keypoints, mapped, skipped, tuple(clips))


def _index_clip(
    path: Path, memory: mmap.mmap, key: str, sample: dict[str, TarMember], extension: str, num_keypoints: int, nonfinite: str
) -> tuple[TarClip, int]:
    """Return one clip, and the number of keypoints, which all clips share (0 if it is not known yet)."""
    array, where = sample[extension], f"{path}: member {sample[extension].name!r} at byte {sample[extension].start}"
    contents: dict[str, bytes] = {
        e: memory[sample[e].start : sample[e].start + sample[e].size] for e in ("json", "cls") if e in sample
    }
    metadata = read_sample_json(contents, where)
    if extension.rpartition(".")[2] == "npz":
        return TarClip(key, -1, 0, "", 0, metadata), num_keypoints
    shape, fortran, dtype, start = npy_header(memory, array, where)
    problem, count = shape_problem(shape, dtype, num_keypoints or (shape[1] if len(shape) == 3 else 0)), math.prod(shape)
    if problem or min(shape) < 1 or start + count * dtype.itemsize > array.start + array.size:
        raise CorruptRecordError(f"{where} {problem or f'holds less than its shape {shape} requires'}; is it a clip?")
    clip = np.frombuffer(memory[start : start + count * dtype.itemsize], dtype).reshape(
        shape
    )  # a copy: the map can be closed
    in_place = dtype in _MAPPABLE and start % dtype.itemsize == 0 and not fortran and shape[2] == 4
    usable = in_place and _is_canonical(clip, where, nonfinite)
    digest = xxh3_64_intdigest(clip.data)
    return TarClip(key, start if usable else -1, shape[0], str(dtype), digest, metadata), shape[1]


def _is_canonical(clip: np.ndarray, where: str, nonfinite: str) -> bool:
    """Return True if conversion would not change the clip: zeros where missing, a score above 0 where not."""
    return np.array_equal(canonical_clip(clip, where=where, nonfinite=nonfinite), clip.astype(np.float32, copy=False))


def load_index(
    path: str | Path, *, cache: Path, member: str | None = None, nonfinite: str = "raise", clips: bool = True
) -> TarIndex:
    """Return the index of a tar: the one next to it, the one in the folder `cache`, or a new one, which is stored there.

    See `index_tar` for `member` and `nonfinite`, and `TarIndex.read` for `clips`.

    Raises:
        CorruptRecordError: If the tar cannot be indexed, or the index next to it belongs to another version of it.
    """
    path = Path(path)
    sibling, cached = find_indexes(path, cache=cache, member=member, nonfinite=nonfinite)
    if member is None and (index := _read_valid(sibling, path, clips)):
        return index
    if index := _read_valid(cached, path, clips):
        return index
    index = index_tar(path, member=member, nonfinite=nonfinite)
    if member is None and sibling.is_file():
        stored = TarIndex.read(sibling)
        if stored.size != index.size or stored.xxh3 != index.xxh3:
            raise CorruptRecordError(
                f"{path}: differs from its index: {_first_difference(stored, index)}; copy the archive again, or remove "
                f"{sibling.name} to use the archive as it is"
            )
    index.write(cached)
    return index


def find_indexes(path: Path, *, cache: Path, member: str | None = None, nonfinite: str = "raise") -> tuple[Path, Path]:
    """Return the two possible paths of a tar's index: next to it, and in the cache folder."""
    options = xxh3_64_hexdigest(f"{path.absolute()} {member} {nonfinite}".encode())
    return path.with_name(path.name + SUFFIX), cache / f"{path.name}-{options}{SUFFIX}"


def _read_valid(index_file: Path, tar: Path, clips: bool) -> TarIndex | None:
    if not index_file.is_file():
        return None
    index, stat = TarIndex.read(index_file, clips=clips), tar.stat()
    return index if (index.size, index.mtime_ns) == (stat.st_size, stat.st_mtime_ns) else None


def _first_difference(stored: TarIndex, found: TarIndex) -> str:
    if stored.size != found.size:
        return f"it has {found.size} bytes, not {stored.size}"
    for old, new in zip(stored.clips, found.clips, strict=False):
        if old.xxh3 != new.xxh3:
            return f"clip {old.key!r} at byte {old.start} has changed"
    return "its bytes have changed outside the clips"
