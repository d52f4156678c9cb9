"""Names in a folder: one rule for hidden and foreign files, special files, links and suffixes, for every reader.

| name | rule |
| --- | --- |
| `.x`, `._x`, `.ipynb_checkpoints`, `.DS_Store`, `__MACOSX`, `Thumbs.db`, ... | not read |
| pipe, socket, device | not read; opening one could wait forever |
| link | its target is read; not without a target, nor if the target contains the link |
| `.NPZ` | read like `.npz` |

What is not read is collected in `Unread`, so that a reader names it once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from karsl.errors import pluralize

# Left in folders by macOS, Windows, Linux and network storage, and never data.
_FOREIGN = frozenset(
    ("__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information", "lost+found", "@eaDir")
)
_MAX_NAMES = 3

HIDDEN, DANGLING, LOOP = "hidden file or folder", "link without a target", "link to a folder that contains it"
SPECIAL, CLOSED = "pipe, socket or device", "folder or file that cannot be opened"
OTHER_TYPE, NOT_UTF8, FOLDER = "file of another type", "file with a name that is not UTF-8", "folder"
_PLURALS = {
    HIDDEN: "hidden files or folders",
    DANGLING: "links without a target",
    LOOP: "links to a folder that contains them",
    SPECIAL: "pipes, sockets or devices",
    CLOSED: "folders or files that cannot be opened",
    FOLDER: "folders",
    OTHER_TYPE: "files of other types",
    NOT_UTF8: "files with names that are not UTF-8",
}


class Unread:
    """Names below a folder that are not read, by reason.

    Example:
        >>> unread = Unread()
        >>> for name in (".DS_Store", "a/._b.npz"):
        ...     unread.add(HIDDEN, name)
        >>> unread.notes()
        ("2 hidden files or folders are not read: '.DS_Store', 'a/._b.npz'",)
    """

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Add a name, relative to the folder, under a reason in the singular."""
        self.names.setdefault(reason, []).append(name)

    def notes(self) -> tuple[str, ...]:
        """Return one sentence per reason, with the first names."""
        return tuple(_note(reason, sorted(names)) for reason, names in self.names.items())

    def with_suffix(self, names: Iterable[str], suffixes: Collection[str], *, expected: Collection[str] = ()) -> list[str]:
        """Return the names with one of some suffixes, in any case, and collect the others.

        Args:
            names: Names of files.
            suffixes: Suffixes in lower case, with the dot.
            expected: Names, or suffixes, of files that have another purpose and are not collected.
        """
        found = []
        for name in names:
            if not has_suffix(name, suffixes):
                if not name.rpartition("/")[2].endswith(tuple(expected)):
                    self.add(OTHER_TYPE, printable(name))
            elif printable(name) == name:
                found.append(name)
            else:
                self.add(NOT_UTF8, printable(name))
        return found


def has_suffix(name: str, suffixes: Collection[str]) -> bool:
    """Return True if a file name ends with one of the suffixes, given in lower case, in any case.

    Example:
        >>> has_suffix("0001.NPZ", (".npz", ".npy")), has_suffix("npz", (".npz",))
        (True, False)
    """
    return name.lower().endswith(tuple(suffixes))


def is_hidden(name: str) -> bool:
    """Return True for the name of a file or folder that is hidden, or that an operating system made.

    Example:
        >>> [is_hidden(name) for name in ("._0001.npz", "__MACOSX", "0001.npz")]
        [True, True, False]
    """
    return name.startswith(".") or name in _FOREIGN


def printable(name: str) -> str:
    r"""Return a name with bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def list_folder(folder: Path, unread: Unread, prefix: str = "") -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, sorted, and collect what is not read.

    Args:
        folder: Folder to list.
        unread: Collector of names that are not read.
        prefix: Path of the folder in these names, empty or with a final `/`.
    """
    folders: list[str] = []
    files: list[str] = []
    try:
        entries = list(os.scandir(folder))
    except OSError:
        unread.add(CLOSED, printable(prefix) or str(folder))
        return [], []
    for entry in entries:
        reason = HIDDEN if is_hidden(entry.name) else _reason(entry, folder)
        if reason:
            unread.add(reason, printable(prefix + entry.name))
        else:
            (folders if entry.is_dir() else files).append(entry.name)
    return sorted(folders), sorted(files)


def list_tree(folder: Path, unread: Unread, prefix: str = "") -> Iterator[str]:
    """Yield the files of a folder and then those of its subfolders, each as `prefix` and the path with `/`."""
    folders, files = list_folder(folder, unread, prefix)
    yield from (prefix + name for name in files)
    for name in folders:
        yield from list_tree(folder / name, unread, f"{prefix}{name}/")


def has_file(folder: Path, suffixes: Collection[str], *, below: bool = False) -> bool:
    """Return True if a folder, or with `below` one below it, has a file with one of some suffixes; stops at the first."""
    if not folder.is_dir():
        return False
    names = list_tree(folder, Unread()) if below else list_folder(folder, Unread())[1]
    return any(has_suffix(name, suffixes) for name in names)


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are neither hidden nor special, sorted; empty if it is no folder."""
    return [folder / name for name in list_folder(folder, Unread())[1]] if folder.is_dir() else []


def is_loop(entry: os.DirEntry, folder: Path) -> bool:
    """Return True if an entry of a folder is a link to that folder or to one that contains it."""
    return entry.is_symlink() and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(entry.path))


def _reason(entry: os.DirEntry, folder: Path) -> str:
    """Return why an entry is not read, or an empty string."""
    try:
        if entry.is_file():
            return ""
        if entry.is_dir():
            return LOOP if is_loop(entry, folder) else ""
        return SPECIAL if os.path.exists(entry.path) else DANGLING
    except OSError:  # a link to itself, for example
        return CLOSED


def _note(reason: str, names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_MAX_NAMES]))
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    count = pluralize(1, reason) if len(names) == 1 else f"{len(names)} {_PLURALS.get(reason, reason)}"
    return f"{count} {'is' if len(names) == 1 else 'are'} not read: {shown}{more}"
