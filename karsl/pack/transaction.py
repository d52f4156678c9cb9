"""Transaction that creates or changes a pack: finished shards are kept after a failure, everything appears at the end.

A new pack is written in a sibling folder and renamed. Changes to an existing pack are written inside it, in `.packing`, and
moved in when they are complete: shards, which nothing refers to yet, then `annotations.json`, then `manifest.json`. A
process that dies during the move leaves a journal, and the next one completes the move first.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from karsl.errors import PackError
from karsl.io.annotations import MANIFEST
from karsl.io.atomic import atomic_path, sync_folder
from karsl.io.pack_reader import ANNOTATIONS
from karsl.pack.manifest import Shard, check_filenames, check_shard
from karsl.schema import convert, read_json

STAGING_FOLDER = ".packing"
_JOURNAL = "journal.json"


@dataclass(frozen=True)
class _Journal:
    """Content of a journal.

    Attributes:
        plan: Fingerprint of everything that determines the files.
        done: Finished shards by name.
        commits: Files that no longer belong to the pack; None before the commit begins.
    """

    plan: str
    done: dict[str, Shard]
    commits: list[str] | None


class Staging:
    """Unfinished files of one plan, in a folder of their own.

    Args:
        out: Folder of the pack.
        plan: Fingerprint of everything that determines the files; remainders of another plan are removed.
        resumable: Keep finished shards after an error, for the next run of the same plan.

    Attributes:
        folder: Folder to write to.
        done: Finished shards by name, those of an interrupted run included.
    """

    def __init__(self, out: Path, plan: str, *, resumable: bool = True) -> None:
        self.out, self.plan, self.resumable, self.is_new = out, plan, resumable, not out.exists()
        self.folder = out.with_name(f".{out.name}.packing") if self.is_new else out / STAGING_FOLDER
        self.done: dict[str, Shard] = {}
        self._obsolete: Sequence[str] | None = None  # set by commit
        self._resume()

    def _resume(self) -> None:
        journal = _read_journal(self.folder)
        if journal is not None and journal.plan == self.plan:
            self.done = {name: shard for name, shard in journal.done.items() if self._is_complete(shard)}
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        known = {_JOURNAL, *(name for shard in self.done.values() for name in shard.files)}
        for entry in list(self.folder.iterdir()):
            if entry.name not in known:
                entry.unlink()
        self._write_journal()

    def _is_complete(self, shard: Shard) -> bool:
        sizes = {self.folder / name: stat.bytes for name, stat in shard.files.items()}
        return all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())

    def commit_shard(self, shard: Shard) -> None:
        """Record a shard whose files are complete and synced."""
        self.done[shard.frames] = shard
        self._write_journal()

    def commit(self, obsolete: Sequence[str]) -> None:
        """Move everything to the pack; annotations and manifest are written already.

        Args:
            obsolete: Names of the pack's files that no longer belong to it.
        """
        if self.is_new:
            (self.folder / _JOURNAL).unlink()
            sync_folder(self.folder)
            os.rename(self.folder, self.out)
            sync_folder(self.out.parent)
            return
        self._obsolete = obsolete
        self._write_journal()
        recover(self.out)

    def rollback(self) -> None:
        """Remove unfinished files, and the folder if it has no finished shard or cannot be resumed."""
        for part in self.folder.glob("*.part"):
            part.unlink(missing_ok=True)
        if not (self.done and self.resumable):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write_journal(self) -> None:
        content = asdict(_Journal(self.plan, self.done, None if self._obsolete is None else list(self._obsolete)))
        with atomic_path(self.folder / _JOURNAL) as temp:
            temp.write_text(json.dumps(content), encoding="utf-8")


def recover(out: Path) -> None:
    """Complete the commit of a process that was killed during it, if there is one.

    Raises:
        PackError: If its journal names files that do not belong to a pack.
    """
    folder = out / STAGING_FOLDER
    journal = _read_journal(folder)
    if journal is None or journal.commits is None:
        return
    last = (ANNOTATIONS, MANIFEST)
    names = [entry.name for entry in folder.iterdir() if entry.name not in (_JOURNAL, *last)]
    for name in (*sorted(names), *last):
        with suppress(FileNotFoundError):  # moved before the kill
            os.replace(folder / name, out / name)
    sync_folder(out)
    for name in journal.commits:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _read_journal(folder: Path) -> _Journal | None:
    """Return the content of a journal; None if there is none or it is damaged, which a kill does not do."""
    path = folder / _JOURNAL
    if not path.exists():
        return None
    try:
        content = read_json(path, error=PackError, remedy="")
        journal = convert(content, _Journal, where=path, error=PackError, remedy="")
    except PackError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return None
    for shard in journal.done.values():
        check_shard(shard, path)
    check_filenames(journal.commits or (), path)
    return journal
