"""Find the index of these inputs, or build it: once per node, whoever comes first."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from mmengine.logging import print_log

from karsl.datasets.index.buffer import SerializedList
from karsl.datasets.index.folder import IndexFolder
from karsl.errors import IndexFileError

Extra = dict | Callable[[], dict]
_MANY = 100_000  # records; for fewer it is not worth the 0.1 s of going through all objects of PyTorch
MakeRecords = Callable[[], tuple[Iterable[dict], Extra]]


def open_or_build(
    fingerprint: str | None,
    make_records: MakeRecords,
    *,
    columns: Mapping[str, str] | None = None,
    cache: str | Path | None = "auto",
) -> tuple[SerializedList, dict]:
    """The index of these inputs, mapped if any process of this user ever built it, else built.

    Of processes that start together one builds and the others wait and map. A torn, damaged or foreign file is never used.
    Without a usable folder, with a full disk, or with records that only pickle can hold, the index is built in shared
    memory of this run, and one line says why.

    Args:
        fingerprint: Hex of everything that shapes the records, see `karsl.datasets.index.fingerprint`; None when that
            cannot be told: no file is then used.
        make_records: Called only when there is nothing to map; gives the records and `extra`, or a function that gives
            `extra` once the records have been read.
        columns: Record keys to keep as number columns, see `SerializedList.build`.
        cache: Folder of index files, 'auto' for the user's cache folder, None for memory of this run.

    Returns:
        The list, and a copy of its `extra`.

    Raises:
        OSError: Not even memory can be written. What `make_records` raises passes through.

    Example:
        >>> records, extra = open_or_build(None, lambda: ([{"label": 3}], {"classes": ("a",)}))
        >>> records[0], extra
        ({'label': 3}, {'classes': ('a',)})
    """
    folder = None if fingerprint is None or cache is None else _folder(cache)
    if fingerprint is None or folder is None:
        found = _build(None, "", make_records, columns)
    else:
        found = _open(folder, fingerprint) or _build_once(folder, fingerprint, make_records, columns)
    return found, found.extra


def _folder(cache: str | Path) -> IndexFolder | None:
    try:
        return IndexFolder(cache)
    except (OSError, IndexFileError) as error:
        _warn(f"no folder for index files, the index stays in shared memory of this run: {error}")
        return None


def _open(folder: IndexFolder, fingerprint: str, *, tell: bool = False) -> SerializedList | None:
    path = folder.index(fingerprint)
    try:
        found = SerializedList.open(path, fingerprint)
    except (OSError, IndexFileError) as error:
        if tell and not isinstance(error, FileNotFoundError):
            _warn(f"{error}; it is built anew")
        return None
    with suppress(OSError):
        os.utime(path)  # the least recently used go first
    return found


def _build_once(
    folder: IndexFolder, fingerprint: str, make_records: MakeRecords, columns: Mapping[str, str] | None
) -> SerializedList:
    with ExitStack() as stack:
        try:
            stack.enter_context(folder.locked(fingerprint))
        except (OSError, NotImplementedError) as error:  # read-only, full, or a file system without locks
            _warn(f"{folder.path} cannot be locked, the index stays in shared memory of this run: {error}")
            return _build(None, "", make_records, columns)
        found = _open(folder, fingerprint, tell=True)
        if found is None:
            folder.remove_torn(held=fingerprint)
            found = _build(folder.index(fingerprint), fingerprint, make_records, columns)
    folder.prune(folder.index(fingerprint))
    return found


def _build(
    path: Path | None, fingerprint: str, make_records: MakeRecords, columns: Mapping[str, str] | None
) -> SerializedList:
    records, extra = make_records()
    built = SerializedList.build(records, path=path, fingerprint=fingerprint, columns=columns, extra=extra)
    if len(built) > _MANY:  # free lists, whose few hundred objects keep 400 MiB of a million parsed records from the system
        gc.collect()
    return built


def _warn(text: str) -> None:
    print_log(text, logger="current", level=logging.WARNING)
