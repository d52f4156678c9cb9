"""Each way's files: made once in a work folder, checked against the source, timed and weighed."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.candidate import Candidate
from benchmarks.clips import StoredClips, SyntheticClips, write_block
from karsl.errors import BenchError

CHECKED_CLIPS = 8


@dataclass(frozen=True)
class Store:
    """A way's files.

    Attributes:
        folder: Where they lie.
        prepare_s: Seconds that writing took, when it was done.
        disk_bytes: What they take.
    """

    folder: str
    prepare_s: float
    disk_bytes: int


class DatasetFiles:
    """The work folder of one set of clips.

    Args:
        work_dir: Files of other sets of clips in it are left alone.
        count: Clips.
        seed: Of the clips.
    """

    def __init__(self, work_dir: Path, *, count: int, seed: int = 0) -> None:
        self.root = Path(work_dir) / f"clips{count}-seed{seed}"
        self.root.mkdir(parents=True, exist_ok=True)
        source = self.root / "source"
        if not source.exists():
            part = self._part("source")
            write_block(SyntheticClips(count, seed), part)
            part.rename(source)
        self.source = _opened(source)

    def prepare(self, way: Candidate) -> Store:
        """Write a way's files unless they are there, and check its first clips.

        Raises:
            BenchError: A clip differs from its source.
        """
        folder, facts = self.root / way.store, self.root / f"{way.store}.json"
        if not (folder.exists() and facts.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            part = self._part(way.store)
            start = time.perf_counter()
            disk_bytes = way.prepare(self.source, part)
            _to_disk(part)
            store = Store(str(folder), time.perf_counter() - start, disk_bytes)
            part.rename(folder)
            facts.write_text(json.dumps(asdict(store)))
        store = Store(**{**json.loads(facts.read_text()), "folder": str(folder)})
        check_clips(way, folder, self.source)
        return store

    def _part(self, name: str) -> Path:
        """A new empty folder; what an interrupted run left of it is removed."""
        part = self.root / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        return part


def _opened(source: Path) -> StoredClips:
    """The clips that everything else is made of.

    Raises:
        BenchError: A file of them is damaged.
    """
    try:
        clips = StoredClips(source)
        _ = clips.frames
    except (OSError, EOFError, ValueError) as error:
        raise BenchError(f"{source}: damaged ({error}); remove the folder and try again") from error
    return clips


def check_clips(way: Candidate, folder: Path, source: StoredClips) -> None:
    """Compare the first clips of a way, value by value; the clips are float16-exact, so a float16 store is equal too.

    Raises:
        BenchError: A clip differs.
    """
    count = min(CHECKED_CLIPS, len(source))
    for number, clip in enumerate(way.first_clips(folder, count)):
        if not np.array_equal(clip, source[number]):
            raise BenchError(
                f"{way.name}: clip {number}, shape {clip.shape}, is not that of the source, shape {source[number].shape}; "
                f"remove {folder} and try again"
            )


def drop_page_cache(folder: Path) -> None:
    """Ask the kernel to forget a folder's pages, so that the next reading is from the disk.

    Raises:
        BenchError: This system has no `posix_fadvise`.
    """
    if not hasattr(os, "posix_fadvise"):
        raise BenchError("--cold needs posix_fadvise, which this system lacks")
    for path in (p for p in Path(folder).rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _to_disk(folder: Path) -> None:
    """Write the pages out: dirty ones cannot be dropped, and would be written while a way is timed."""
    for path in (p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
