"""Folders of clip files: safe unique names, the `clips.json` sidecar, classes from folders, `.npz` archives."""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib import format as npy

from karsl.errors import AnnotationError, CorruptRecordError, DatasetNotFoundError
from karsl.io.annotations import parse_annotations
from karsl.io.file_list import FOLDER, Unread, is_hidden, list_folder, list_tree

SIDECAR = "clips.json"
"""Annotation file with what a format cannot store, such as signers, splits and glosses. Other tools ignore it."""

_UNSAFE = re.compile(r"[^\w.()-]+")  # \w includes Arabic letters
_MAX_LENGTH = 100


def safe_name(text: str) -> str:
    """Convert a text to a file name that is valid on every file system.

    Example:
        >>> safe_name("see you / later?"), safe_name(".."), safe_name("شكرا")
        ('see_you_later_', '_..', 'شكرا')
    """
    name = _UNSAFE.sub("_", text)[:_MAX_LENGTH] or "_"
    return f"_{name}" if is_hidden(name) else name


def class_name(text: str) -> str:
    """Return the class that a file or folder name stands for, in Unicode's composed form (macOS decomposes names).

    Example:
        >>> len("cafe\u0301"), len(class_name("cafe\u0301"))
        (5, 4)
    """
    return unicodedata.normalize("NFC", text)


def number_classes(names: Iterable[str]) -> dict[str, int]:
    """Return a label from 0 for each class, in the order of the names.

    Example:
        >>> number_classes(["thanks", "hello", "thanks"])
        {'hello': 0, 'thanks': 1}
    """
    return {name: label for label, name in enumerate(sorted(set(names)))}


def class_folders(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a folder name per class, all different in any case. Equal names get their label appended.

    Example:
        >>> class_folders(["thanks", "nephew", "Nephew"])
        ('thanks', 'nephew_1', 'Nephew_2')
    """
    names = [safe_name(str(gloss)) for gloss in classes]
    counts = Counter(name.casefold() for name in names)
    numbered = [f"{name}_{label}" if counts[name.casefold()] > 1 else name for label, name in enumerate(names)]
    unique = UniqueNames()  # a class may be called like the numbered name of another
    return tuple(unique.unique("", name) for name in numbered)


class UniqueNames:
    """Generator of file names that are unique within each folder, ignoring case.

    Example:
        >>> names = UniqueNames()
        >>> [names.name("hello", clip_id) for clip_id in ("01-train/0001/a", "02-train/0001/a")]
        ['a', 'a-2']
    """

    def __init__(self) -> None:
        self._used: defaultdict[str, set[str]] = defaultdict(set)

    def name(self, folder: str, clip_id: str) -> str:
        """Return an unused name for a clip, derived from the last component of its id."""
        return self.unique(folder, safe_name(clip_id.rstrip("/").rpartition("/")[2]))

    def unique(self, folder: str, name: str) -> str:
        """Return a name, with a number appended if the folder has it already."""
        used, base, number = self._used[folder], name, 2
        while name.casefold() in used:
            name, number = f"{base}-{number}", number + 1
        used.add(name.casefold())
        return name


class Listing(NamedTuple):
    """Clips that were found in files, see `ClipSource` for the attributes."""

    metainfo: dict
    records: list[dict]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_sidecar(folder: Path) -> Listing | None:
    """Return the clips in a folder's `clips.json`, None if there is none.

    Raises:
        AnnotationError: If the file is malformed or a record lacks a required key.
    """
    path = folder / SIDECAR
    if not path.is_file():
        return None
    metainfo, records = parse_annotations(path)
    missing = [key for key in ("clip_id", "label", "num_frames", "file") if any(key not in r for r in records)]
    if missing or "classes" not in metainfo:
        raise AnnotationError(
            f"{path}: no {missing or 'classes'}; move it out of the folder to use folders as classes, or convert again"
        )
    return Listing(metainfo, records)


def files_with_suffix(
    path: Path, suffix: str, *, expected: str, also: Collection[str] = ()
) -> tuple[Path, list[Path], tuple[str, ...]]:
    """Return a folder, its files with a suffix, sorted by name, and notes on what is not read in it.

    A file gives its folder, the file alone and no notes. See `karsl.io.file_list` for what is not read.

    Args:
        path: Folder or file.
        suffix: Suffix of the files in lower case.
        expected: Description of the files that a folder should have, for the error.
        also: Names, or suffixes, of files that the format has besides them.

    Raises:
        DatasetNotFoundError: If a folder has no such file.
    """
    if not path.is_dir():
        return path.parent, [path], ()
    unread = Unread()
    folders, names = list_folder(path, unread)
    files = unread.with_suffix(names, (suffix,), expected=(SIDECAR, *also))
    for name in folders:
        unread.add(FOLDER, name)
    if not files:
        raise DatasetNotFoundError(f"no {suffix} in {path}; expected {expected}{_also(unread)}")
    return path, [path / name for name in files], unread.notes()


def _also(unread: Unread) -> str:
    return "".join(f"; {note}" for note in unread.notes())


def records_of_folders(root: Path, suffix: str) -> Listing:
    """Return the clips of a tree in which each file is a clip and its parent folder is its class.

    Args:
        root: Folder of the tree.
        suffix: Suffix of the files in lower case.

    Raises:
        DatasetNotFoundError: If no file has the suffix.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("thanks/b.pose", "hello/a.pose"):
        ...     (root / name).parent.mkdir(); (root / name).touch()
        >>> clips = records_of_folders(root, ".pose")
        >>> clips.metainfo["classes"], clips.records[0]
        (('hello', 'thanks'), {'clip_id': 'hello/a', 'label': 0, 'file': 'hello/a.pose'})
    """
    unread = Unread()
    found = unread.with_suffix(list_tree(root, unread), (suffix,), expected=(SIDECAR,))
    if not found:
        example = f"expected one folder per class, as in 'hello/001{suffix}'"
        raise DatasetNotFoundError(f"no *{suffix} in {root}; {example}{_also(unread)}")
    files = sorted(map(Path, found))
    names = [class_name(f.parent.name or root.name) for f in files]
    label = number_classes(names)
    records = [
        {"clip_id": f.with_suffix("").as_posix(), "label": label[name], "file": f.as_posix()}
        for f, name in zip(files, names, strict=True)
    ]
    return Listing({"dataset_name": root.name, "classes": tuple(label)}, records, unread.notes())


@contextmanager
def collect_errors(problems: list[str]) -> Iterator[None]:
    """Add the error of a damaged clip to `problems` and leave the block, so that all errors are raised together later."""
    try:
        yield
    except CorruptRecordError as error:
        problems.append(str(error))


class NpzFolderWriter(AbstractContextManager):
    """Writer of arrays to `.npz` archives below a folder, one at a time. Arrays of an archive must be consecutive.

    Members are stored uncompressed, because they are read by offset and keypoints hardly compress. Time stamps are constant,
    so that equal arrays give equal bytes.

    Args:
        root: Folder of the archives.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> with NpzFolderWriter(root) as archives:
        ...     archives.write("hello.npz", "a", np.arange(3))
        >>> np.load(root / "hello.npz")["a"].tolist()
        [0, 1, 2]
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._name: str | None = None
        self._archive: zipfile.ZipFile | None = None

    def write(self, name: str, key: str, array: np.ndarray) -> None:
        """Add an array under `key` to the archive `name`, a path relative to the root."""
        if name != self._name or self._archive is None:
            self.close()
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._name, self._archive = name, zipfile.ZipFile(path, "x", zipfile.ZIP_STORED)
        with self._archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
            npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    def close(self) -> None:
        """Finish the current archive."""
        if self._archive is not None:
            self._archive.close()
        self._archive = None

    def __exit__(self, *_: object) -> None:
        self.close()
