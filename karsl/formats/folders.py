"""Folders of clip files: safe unique names, the `clips.json` sidecar, classes from folders, `.npz` archives."""

from __future__ import annotations

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from karsl.errors import AnnotationError, CorruptRecordError, DatasetNotFoundError
from karsl.io.annotations import parse_annotations

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
    return f"_{name}" if name.startswith(".") else name


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


def read_sidecar(folder: Path) -> tuple[dict, list[dict]] | None:
    """Return metainfo and records of a folder's `clips.json`, None if there is none.

    Raises:
        AnnotationError: If the file is malformed or a record lacks a required key.
    """
    path = folder / SIDECAR
    if not path.is_file():
        return None
    metainfo, records = parse_annotations(path)
    missing = [key for key in ("clip_id", "label", "num_frames", "file") if any(key not in r for r in records)]
    if missing or "classes" not in metainfo:
        raise AnnotationError(f"{path}: no {missing or 'classes'}; remove it to use folders as classes, or convert again")
    return metainfo, records


def files_with_suffix(path: Path, suffix: str, *, expected: str) -> tuple[Path, list[Path]]:
    """Return a folder and its files with a suffix, sorted by name, or a file's folder and the file alone.

    Hidden files of a folder are left out, such as leftovers of writers that were killed.

    Args:
        path: Folder or file.
        suffix: Suffix of the files.
        expected: Description of the files that a folder should have, for the error.

    Raises:
        DatasetNotFoundError: If a folder has no such file.
    """
    if not path.is_dir():
        return path.parent, [path]
    files = sorted(file for file in path.glob(f"*{suffix}") if not file.name.startswith("."))
    if not files:
        raise DatasetNotFoundError(f"no {suffix} in {path}; expected {expected}")
    return path, files


def records_of_folders(root: Path, pattern: str) -> tuple[dict, list[dict]]:
    """Return metainfo and records of a tree in which each matching file is a clip and its parent folder is its class.

    Raises:
        DatasetNotFoundError: If no file matches.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("thanks/b.pose", "hello/a.pose"):
        ...     (root / name).parent.mkdir(); (root / name).touch()
        >>> metainfo, records = records_of_folders(root, "*.pose")
        >>> metainfo["classes"], records[0]
        (('hello', 'thanks'), {'clip_id': 'hello/a', 'label': 0, 'file': 'hello/a.pose'})
    """
    files = sorted(p.relative_to(root) for p in root.rglob(pattern) if not p.name.startswith("."))
    if not files:
        raise DatasetNotFoundError(f"no {pattern} in {root}; expected one folder per class, as in 'hello/001{pattern[1:]}'")
    names = [f.parent.name or root.name for f in files]
    classes = tuple(sorted(set(names)))
    label = {name: i for i, name in enumerate(classes)}
    records = [
        {"clip_id": f.with_suffix("").as_posix(), "label": label[name], "file": f.as_posix()}
        for f, name in zip(files, names, strict=True)
    ]
    return {"dataset_name": root.name, "classes": classes}, records


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
