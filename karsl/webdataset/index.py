"""The index of a tar: where each clip's numbers lie, so that the archive is mapped and read in any order.

An index lies beside its tar (`clips-000000.tar.index`) or in a cache folder. It holds for a file of the same size and time,
or of the same checksum, and has a checksum of its own and one of every clip: a flipped bit anywhere is found.
"""

from __future__ import annotations

import json
import math
import mmap
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from xxhash import xxh3_64, xxh3_64_hexdigest, xxh3_64_intdigest

from karsl.errors import CorruptRecordError
from karsl.storage.atomic import atomic_path
from karsl.storage.record import canonical_clip, shape_problem
from karsl.storage.tar.facts import read_facts
from karsl.storage.tar.members import Member, clip_extension, group_samples, list_tar, npy_header

SUFFIX = ".index"
_FORM = "karsl tar index 1"
_CLIPS = ',"clips":'  # comes last in an index file
_MAPPABLE = (np.dtype("<f2"), np.dtype("<f4"))


@dataclass(frozen=True)
class TarClip:
    """A clip in a tar.

    Attributes:
        key: Of its sample.
        start: First byte of its numbers in the archive; -1 where they cannot be mapped.
        frames: T.
        dtype: Of the numbers.
        xxh3: Checksum of the numbers, an unsigned 64-bit integer.
        facts: What its `.json` and `.cls` say.
    """

    key: str
    start: int
    frames: int
    dtype: str
    xxh3: int
    facts: dict


@dataclass(frozen=True)
class TarIndex:
    """What lies in a tar.

    Attributes:
        size, mtime_ns, xxh3: Of the whole file.
        num_keypoints: V of every clip; 0 without clips.
        mapped: Whether every clip can be read from the mapped archive as it is.
        others: Samples without a clip, and members that belong to none.
        clips: In the order of the archive.
    """

    size: int
    mtime_ns: int
    xxh3: str
    num_keypoints: int
    mapped: bool
    others: int
    clips: tuple[TarClip, ...]

    def write(self, path: Path) -> None:
        """Write the index file; atomic."""
        body = json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))
        head = json.dumps({"form": _FORM, "xxh3": xxh3_64_hexdigest(body.encode())})
        with atomic_path(path) as part:
            part.write_text(f"{head}\n{body}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path, *, clips: bool = True) -> TarIndex:
        """Read an index file.

        Args:
            path: Of the index.
            clips: False leaves them out, which take nearly all of the time; the checksum is that of everything.

        Raises:
            CorruptRecordError: It is damaged, or of another form.
        """
        try:
            head, body, _ = path.read_text(encoding="utf-8").split("\n")
            told = json.loads(head)
            if told.get("form") != _FORM or told.get("xxh3") != xxh3_64_hexdigest(body.encode()):
                raise ValueError("its checksum is not that of its content")
            fields = json.loads(body if clips else body.partition(_CLIPS)[0] + _CLIPS + "[]}")
            return cls(**{**fields, "clips": tuple(TarClip(**clip) for clip in fields["clips"])})
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise CorruptRecordError(f"{path}: a damaged tar index ({error}); remove it, it is made anew") from error


def index_tar(path: str | Path, *, member: str | None = None, nonfinite: str = "raise") -> TarIndex:
    """Look at every clip of an uncompressed tar.

    Args:
        path: The archive.
        member: Extension of the clips; None takes the only array of a sample.
        nonfinite: `'raise'`, or `'missing'` where NaN stands for a missing point.

    Raises:
        CorruptRecordError: The archive or a clip is damaged; the text names the member and its byte.
    """
    path = Path(path)
    samples = group_samples(list_tar(path), path)
    told = path.stat()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as memory:
        clips, others, points = [], 0, 0
        for key, sample in samples.items():
            extension = clip_extension(sample, member, f"{path}: sample {key!r}")
            if extension is None:
                others += 1
                continue
            clip, points = _clip(path, memory, key, sample, extension, points, nonfinite)
            clips.append(clip)
        digest = xxh3_64(memory).hexdigest()
    mapped = all(clip.start >= 0 for clip in clips)
    return TarIndex(told.st_size, told.st_mtime_ns, digest, points, mapped, others, tuple(clips))


def _clip(
    path: Path, memory: mmap.mmap, key: str, sample: dict[str, Member], extension: str, points: int, nonfinite: str
) -> tuple[TarClip, int]:
    """One clip, and the number of keypoints of all."""
    array, where = sample[extension], f"{path}: member {sample[extension].name!r} at byte {sample[extension].start}"
    contents: dict[str, bytes] = {
        e: memory[sample[e].start : sample[e].start + sample[e].size] for e in ("json", "cls") if e in sample
    }
    facts = read_facts(contents, where)
    if extension.rpartition(".")[2] == "npz":
        return TarClip(key, -1, 0, "", 0, facts), points
    shape, columns_first, dtype, start = npy_header(memory, array, where)
    problem, count = shape_problem(shape, dtype, points or (shape[1] if len(shape) == 3 else 0)), math.prod(shape)
    if problem or min(shape) < 1 or start + count * dtype.itemsize > array.start + array.size:
        raise CorruptRecordError(f"{where} {problem or f'holds less than its shape {shape} says'}; is it a clip?")
    clip = np.frombuffer(memory, dtype, count, start).reshape(shape)
    in_place = dtype in _MAPPABLE and start % dtype.itemsize == 0 and not columns_first and shape[2] == 4
    usable = in_place and _is_canonical(clip, where, nonfinite)
    digest = xxh3_64_intdigest(clip.data)
    del clip
    return TarClip(key, start if usable else -1, shape[0], str(dtype), digest, facts), shape[1]


def _is_canonical(clip: np.ndarray, where: str, nonfinite: str) -> bool:
    """Whether x, y, z, score mean what they mean everywhere here: zeros where missing, a score above 0 elsewhere."""
    return np.array_equal(canonical_clip(clip, where=where, nonfinite=nonfinite), clip.astype(np.float32, copy=False))


def load_index(
    path: str | Path, *, cache: Path, member: str | None = None, nonfinite: str = "raise", clips: bool = True
) -> TarIndex:
    """The index of a tar: the one beside it, one in the cache folder, or a new one that is put there.

    Args:
        path: Of the tar.
        cache: Folder for new ones.
        member, nonfinite: See `index_tar`.
        clips: See `TarIndex.read`.

    Raises:
        CorruptRecordError: The tar cannot be indexed, or an index beside it is of another file of the same name.
    """
    path = Path(path)
    beside, kept = index_files(path, cache=cache, member=member, nonfinite=nonfinite)
    if member is None and (found := _fitting(beside, path, clips)):
        return found
    if found := _fitting(kept, path, clips):
        return found
    index = index_tar(path, member=member, nonfinite=nonfinite)
    if member is None and beside.is_file():
        told = TarIndex.read(beside)
        if told.size != index.size or told.xxh3 != index.xxh3:
            raise CorruptRecordError(
                f"{path}: not the archive that its index was made of: {_first_difference(told, index)}; copy the archive "
                f"again, or remove {beside.name} to take it as it is"
            )
    index.write(kept)
    return index


def index_files(path: Path, *, cache: Path, member: str | None = None, nonfinite: str = "raise") -> tuple[Path, Path]:
    """Where the index of a tar may lie: beside it, and in the cache folder."""
    options = xxh3_64_hexdigest(f"{path.absolute()} {member} {nonfinite}".encode())
    return path.with_name(path.name + SUFFIX), cache / f"{path.name}-{options}{SUFFIX}"


def _fitting(index_file: Path, tar: Path, clips: bool) -> TarIndex | None:
    if not index_file.is_file():
        return None
    index, told = TarIndex.read(index_file, clips=clips), tar.stat()
    return index if (index.size, index.mtime_ns) == (told.st_size, told.st_mtime_ns) else None


def _first_difference(told: TarIndex, found: TarIndex) -> str:
    if told.size != found.size:
        return f"it has {found.size} bytes, not {told.size}"
    for old, new in zip(told.clips, found.clips, strict=False):
        if old.xxh3 != new.xxh3:
            return f"clip {old.key!r} at byte {old.start} has changed"
    return "its bytes have changed outside the clips"
