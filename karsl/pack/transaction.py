"""Where a pack is made before it is there: one writer at a time, finished shards kept, all or nothing at the end.

A new pack is made in a folder beside its own and renamed. What changes a pack that exists is made inside it, in `.packing`,
and moved in when all of it is written: shards, which nothing points to yet, then `annotations.json`, then `manifest.json`.
A process that dies in between leaves a journal that says so, and the next one finishes the move first.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from karsl.errors import DISK_FULL, PackError
from karsl.storage.atomic import atomic_path
from karsl.storage.pack.manifest import Shard, check_names
from karsl.storage.packed import ANNOTATIONS, MANIFEST

INSIDE = ".packing"
_JOURNAL = "journal.json"


@contextmanager
def only_writer(out: Path) -> Iterator[None]:
    """Hold the right to write a pack; the system lets it go when the process dies.

    Raises:
        PackError: Another process writes it, or the folder above cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise PackError(f"another process is writing {out}; wait until it is done, or end it") from None
    except OSError as error:
        raise PackError(f"{out.parent} cannot be written ({error}); choose another folder") from error
    try:
        yield
    finally:
        lock.release()


class Staging:
    """The unfinished pack of one plan.

    Args:
        out: Folder of the pack.
        plan: Stands for everything that shapes the files; what another plan left is removed.
        keeps: Finished shards stay after an error, for a run of the same plan.
    """

    def __init__(self, out: Path, plan: str, *, keeps: bool = True) -> None:
        self.out, self.plan, self.keeps, self.is_new = out, plan, keeps, not out.exists()
        self.folder = out.with_name(f".{out.name}.packing") if self.is_new else out / INSIDE
        self.done: dict[str, Shard] = {}
        self._commits: Sequence[str] | None = None
        self._recall()

    def _recall(self) -> None:
        journal = _read_journal(self.folder)
        if journal.get("plan") == self.plan:
            shards = {name: Shard.of(stored) for name, stored in journal["done"].items()}
            self.done = {name: shard for name, shard in shards.items() if self._is_whole(shard)}
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = {_JOURNAL, *(name for shard in self.done.values() for name in shard.files)}
        for entry in list(self.folder.iterdir()):
            if entry.name not in kept:
                entry.unlink()
        self._write_journal()

    def _is_whole(self, shard: Shard) -> bool:
        paths = {self.folder / name: facts.bytes for name, facts in shard.files.items()}
        return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())

    def keep(self, shard: Shard) -> None:
        """Note a shard whose files are complete and on the disk."""
        self.done[shard.frames] = shard
        self._write_journal()

    def finish(self, obsolete: Sequence[str]) -> None:
        """Move everything to the pack; annotations and manifest are written already.

        Args:
            obsolete: Files of the pack that are no longer part of it.
        """
        if self.is_new:
            (self.folder / _JOURNAL).unlink()
            _sync(self.folder)
            os.rename(self.folder, self.out)
            _sync(self.out.parent)
            return
        self._commits = obsolete
        self._write_journal()
        finish_interrupted(self.out)

    def discard(self) -> None:
        """Remove what is not worth keeping: parts of shards, and a folder without a finished one."""
        for part in self.folder.glob("*.part"):
            part.unlink(missing_ok=True)
        if not (self.done and self.keeps):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _write_journal(self) -> None:
        done = {name: asdict(shard) for name, shard in self.done.items()}
        with atomic_path(self.folder / _JOURNAL) as part:
            part.write_text(json.dumps({"plan": self.plan, "done": done, "commits": self._commits}), encoding="utf-8")


def finish_interrupted(out: Path) -> None:
    """Finish the move that a killed process had begun; nothing to do in most cases.

    Raises:
        PackError: Its journal names files that no pack has.
    """
    folder = out / INSIDE
    obsolete = _read_journal(folder).get("commits")
    if obsolete is None:
        return
    last = (ANNOTATIONS, MANIFEST)
    names = [entry.name for entry in folder.iterdir() if entry.name not in (_JOURNAL, *last)]
    for name in (*sorted(names), *last):
        with suppress(FileNotFoundError):  # moved before the kill
            os.replace(folder / name, out / name)
    _sync(out)
    for name in obsolete:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(folder)


@contextmanager
def told_when_full(out: Path, *, kept: bool = False) -> Iterator[None]:
    """Turn the system's word for a full disk into ours.

    Args:
        out: Folder of the pack.
        kept: Shards that are finished stay for the next run.

    Raises:
        PackError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        what = "; make room and give the same command again" + (": shards that are finished are kept" if kept else "")
        raise PackError(f"no room left for {out} ({os.strerror(error.errno or 0)}){what}") from error


def _read_journal(folder: Path) -> dict:
    path = folder / _JOURNAL
    try:
        journal = json.loads(path.read_text(encoding="utf-8"))
        names = [name for shard in journal["done"].values() for name in (shard["frames"], *shard["files"])]
        names += journal["commits"] or ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    check_names(names, path)
    return journal


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk; systems that cannot open folders do it on their own."""
    with suppress(OSError):
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
