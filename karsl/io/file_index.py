"""Index of the clips in the files of a folder, stored between runs: only changed files are read again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgpack
import msgspec
import numpy as np
from xxhash import xxh3_64_digest

from karsl.errors import CorruptRecordError
from karsl.io.atomic import atomic_path
from karsl.io.hashing import RACY_NS
from karsl.io.hdf5 import list_datasets
from karsl.io.npy import missing_file_error, read_header
from karsl.io.npz import ByteRange, Member, list_members
from karsl.io.torch_files import list_tensors
from karsl.schema import Count

Progress = Callable[[Iterable, int], Iterable]
Inspection = tuple[list[Member], list[str]]
# A stored file: name, size, modification time, members, problems.
_Row = tuple[
    str,
    Count,
    int,
    list[tuple[str | int | None, tuple[Count, ...], str, ByteRange | None, Count | None]],
    tuple[str, ...],
]
_VERSION = 2


def inspect_array(path: str | Path) -> Inspection:
    """Read the header of a `.npy` file, as one member without a key.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If it is not a `.npy` file or holds objects.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            shape, fortran, dtype, start = read_header(stream)
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except ValueError as error:
        what = "the file is empty" if not path.stat().st_size else f"no readable .npy file ({error})"
        raise CorruptRecordError(f"{path}: {what}; export it again") from error
    expected = math.prod(shape) * dtype.itemsize
    if size - start != expected:
        return [], [f"{path}: {size - start} bytes of numbers where the header says {expected}; export it again"]
    return [Member(None, shape, dtype, start=None if fortran else start)], []


CLIP_FILES: dict[str, Callable[[str | Path], Inspection]] = {
    ".npz": list_members,
    ".npy": inspect_array,
    ".pt": list_tensors,
    ".pth": list_tensors,
    ".h5": list_datasets,
    ".hdf5": list_datasets,
}
"""Suffixes of files with one clip or many, in lower case, and the functions that list them."""


def inspect_clips(path: str | Path) -> Inspection:
    """Read the headers of the clips in a file: return its members, and one sentence per problem.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptRecordError: If the content does not fit the suffix, or the suffix is unknown.
    """
    inspect = CLIP_FILES.get(Path(path).suffix.lower())
    if inspect is None:
        raise CorruptRecordError(f"{path}: clips are read from {', '.join(CLIP_FILES)} files; convert it")
    return inspect(path)


@dataclass(frozen=True)
class IndexedFile:
    """One file and its clips, as the headers describe them.

    Attributes:
        name: Path relative to the root, with `/`.
        size, mtime_ns: Size and modification time when it was read.
        members: Clips.
        problems: One sentence per problem.
    """

    name: str
    size: int
    mtime_ns: int
    members: tuple[Member, ...]
    problems: tuple[str, ...]


@dataclass
class FileIndex:
    """Files of clips, with cumulative sizes.

    Attributes:
        files: Files in the order of their names in the call.
        added, changed, removed: Names of files that differ from the stored index.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> np.savez(root / "0001.npz", a=np.zeros((7, 2, 4)), b=np.zeros((5, 2, 4)))
        >>> np.save(root / "one.npy", np.zeros((9, 2, 4)))
        >>> index = FileIndex.read(root, ["0001.npz", "one.npy"])
        >>> len(index), index.locate(2), index.frame_ends.tolist()
        (3, (1, 0), [7, 12, 21])
    """

    files: list[IndexedFile]
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    @classmethod
    def read(
        cls, root: str | Path, names: Sequence[str], *, index_file: Path | None = None, progress: Progress | None = None
    ) -> FileIndex:
        """Read the headers of the clips in some files.

        Args:
            root: Folder that the names are relative to.
            names: Paths of files, with `/`.
            index_file: File in which the index is stored; files with a known size and time are not opened. A damaged index
                or one of another version is ignored.
            progress: `progress(names, total)` wraps the iteration, for a progress bar.
        """
        known = {} if index_file is None else _load_index(index_file)
        index = cls([], removed=sorted(known.keys() - set(names)))
        for name in progress(names, len(names)) if progress else names:
            index._add(Path(root), name, known.get(name))
        if index_file is not None and (index.added or index.changed or index.removed):
            _save_index(index_file, index.files)
        return index

    def __len__(self) -> int:
        """Return the number of clips in all files."""
        return int(self.clip_ends[-1]) if self.files else 0

    @cached_property
    def clip_ends(self) -> np.ndarray:
        """int64 (files,), number of clips up to and including each file."""
        return np.cumsum([len(file.members) for file in self.files], dtype=np.int64)

    @cached_property
    def frame_ends(self) -> np.ndarray:
        """int64 (clips,), number of frames up to and including each clip."""
        lengths = [m.shape[0] if m.shape else 0 for file in self.files for m in file.members]
        return np.cumsum(lengths, dtype=np.int64)

    def locate(self, clip: int) -> tuple[int, int]:
        """Return file and member indices of a clip, counted over all files.

        Raises:
            IndexError: If there is no such clip.
        """
        if not 0 <= clip < len(self):
            raise IndexError(f"clip {clip} is outside an index of {len(self)}")
        file = int(np.searchsorted(self.clip_ends, clip, side="right"))
        return file, clip - int(self.clip_ends[file - 1] if file else 0)

    def _add(self, root: Path, name: str, known: IndexedFile | None) -> None:
        try:
            stat = (root / name).stat()
        except FileNotFoundError:
            self.files.append(IndexedFile(name, 0, 0, (), (f"{root / name}: was removed while the folder was read",)))
            return
        if known is not None and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            self.files.append(known)
            return
        (self.added if known is None else self.changed).append(name)
        try:
            members, problems = inspect_clips(root / name)
        except (CorruptRecordError, FileNotFoundError) as error:
            members, problems = [], [str(error)]
        self.files.append(IndexedFile(name, stat.st_size, stat.st_mtime_ns, tuple(members), tuple(problems)))


def _save_index(path: Path, files: list[IndexedFile]) -> None:
    youngest = time.time_ns() - RACY_NS
    rows = [
        [f.name, f.size, f.mtime_ns, [[m.key, m.shape, m.dtype.str, m.range, m.start] for m in f.members], f.problems]
        for f in files
        if f.size and f.mtime_ns < youngest
    ]
    content = msgpack.packb([_VERSION, rows], unicode_errors="surrogatepass")
    with suppress(OSError), atomic_path(path) as temp:  # read-only or full: the next run reads the headers again
        temp.touch(0o600)
        temp.write_bytes(xxh3_64_digest(content) + content)


def _load_index(path: Path) -> dict[str, IndexedFile]:
    try:
        data = path.read_bytes()
        if xxh3_64_digest(data[8:]) != data[:8]:
            return {}
        version, rows = msgpack.unpackb(data[8:], unicode_errors="surrogatepass")
        return {row[0]: _to_file(row) for row in msgspec.convert(rows, list[_Row])} if version == _VERSION else {}
    except (OSError, ValueError, TypeError, LookupError, msgpack.UnpackException, msgspec.MsgspecError):
        return {}


def _to_file(row: _Row) -> IndexedFile:
    name, size, mtime_ns, members, problems = row
    loaded = tuple(Member(key, shape, np.dtype(dtype), place, start) for key, shape, dtype, place, start in members)
    return IndexedFile(name, size, mtime_ns, loaded, problems)
