"""Which clips lie in which files of a folder, kept from one start to the next: only files that changed are read again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgpack
import numpy as np
from xxhash import xxh3_64_digest

from karsl.errors import CorruptRecordError
from karsl.storage.atomic import atomic_path
from karsl.storage.files import list_clips
from karsl.storage.npz import Member, Place

Progress = Callable[[Iterable, int], Iterable]
_VERSION = 1
_RACY_NS = 2_000_000_000  # coarse file clocks: a file changed twice within one tick shows one time (git's racy entries)


@dataclass(frozen=True)
class IndexedFile:
    """One file as its headers describe it.

    Attributes:
        name: Path relative to the root, with `/`.
        size, mtime_ns: Of the file when it was read.
        members: Its clips.
        problems: One sentence per thing that is wrong.
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
        files: In the order they were named.
        added, changed, removed: Names of files that differ from what was remembered.

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
        cls, root: str | Path, names: Sequence[str], *, memory: str | Path | None = None, progress: Progress | None = None
    ) -> FileIndex:
        """Headers of the clips in some files.

        Args:
            root: Folder that the names are relative to.
            names: Paths of files, with `/`.
            memory: File where the index is kept; files whose size and time it knows are not opened. A memory that is
                damaged or of another version is not used.
            progress: `progress(names, total)` wraps the iteration, for a bar.
        """
        known = {} if memory is None else _recall(memory)
        index = cls([], removed=sorted(known.keys() - set(names)))
        for name in progress(names, len(names)) if progress else names:
            index._add(Path(root), name, known.get(name))
        if memory is not None and (index.added or index.changed or index.removed):
            _remember(memory, index.files)
        return index

    def __len__(self) -> int:
        """Clips in all files."""
        return int(self.clip_ends[-1]) if self.files else 0

    @cached_property
    def clip_ends(self) -> np.ndarray:
        """int64 (files,), clips in the files up to and with each."""
        return np.cumsum([len(file.members) for file in self.files], dtype=np.int64)

    @cached_property
    def frame_ends(self) -> np.ndarray:
        """int64 (clips,), frames in the clips up to and with each."""
        lengths = [m.shape[0] if m.shape else 0 for file in self.files for m in file.members]
        return np.cumsum(lengths, dtype=np.int64)

    def locate(self, clip: int) -> tuple[int, int]:
        """File and member of a clip, counted over all files.

        Raises:
            IndexError: There is no such clip.
        """
        if not 0 <= clip < len(self):
            raise IndexError(f"clip {clip} is outside an index of {len(self)}")
        file = int(np.searchsorted(self.clip_ends, clip, side="right"))
        return file, clip - int(self.clip_ends[file - 1] if file else 0)

    def _add(self, root: Path, name: str, known: IndexedFile | None) -> None:
        try:
            facts = (root / name).stat()
        except FileNotFoundError:
            self.files.append(IndexedFile(name, 0, 0, (), (f"{root / name}: was removed while the folder was read",)))
            return
        if known is not None and (known.size, known.mtime_ns) == (facts.st_size, facts.st_mtime_ns):
            self.files.append(known)
            return
        (self.added if known is None else self.changed).append(name)
        try:
            members, problems = list_clips(root / name)
        except (CorruptRecordError, FileNotFoundError) as error:
            members, problems = [], [str(error)]
        self.files.append(IndexedFile(name, facts.st_size, facts.st_mtime_ns, tuple(members), tuple(problems)))


def _remember(memory: str | Path, files: list[IndexedFile]) -> None:
    youngest = time.time_ns() - _RACY_NS
    rows = [
        [f.name, f.size, f.mtime_ns, [[m.key, m.shape, m.dtype.str, m.place] for m in f.members], f.problems]
        for f in files
        if f.size and f.mtime_ns < youngest
    ]
    content = msgpack.packb([_VERSION, rows], unicode_errors="surrogatepass")
    try:
        with atomic_path(memory) as part:
            part.touch(0o600)
            part.write_bytes(xxh3_64_digest(content) + content)
    except OSError:
        return  # read-only or full: the next start reads the headers again


def _recall(memory: str | Path) -> dict[str, IndexedFile]:
    try:
        data = Path(memory).read_bytes()
        if xxh3_64_digest(data[8:]) != data[:8]:
            return {}
        version, rows = msgpack.unpackb(data[8:], unicode_errors="surrogatepass")
        return {row[0]: _restored(row) for row in rows} if version == _VERSION else {}
    except (OSError, ValueError, TypeError, KeyError, msgpack.UnpackException):
        return {}


def _restored(row: list) -> IndexedFile:
    name, size, mtime_ns, members, problems = row
    restored = tuple(
        Member(key, tuple(shape), np.dtype(dtype), place and Place(*place)) for key, shape, dtype, place in members
    )
    return IndexedFile(name, size, mtime_ns, restored, tuple(problems))
