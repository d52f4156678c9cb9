"""Files of each candidate: written once in a work folder, with time and size, and checked against the source."""

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
from benchmarks.errors import BenchError

CHECKED_CLIPS = 8


@dataclass(frozen=True)
class Store:
    """Files of a candidate.

    Attributes:
        folder: Their folder.
        prepare_s: Seconds spent writing them.
        disk_bytes: Their size in bytes.
    """

    folder: str
    prepare_s: float
    disk_bytes: int


class DatasetFiles:
    """Work folder of one set of clips.

    Args:
        work_dir: Parent folder, shared with other sets of clips.
        count: Number of clips.
        seed: Seed of the clips.
    """

    def __init__(self, work_dir: Path, *, count: int, seed: int = 0) -> None:
        self.root = Path(work_dir) / f"clips{count}-seed{seed}"
        self.root.mkdir(parents=True, exist_ok=True)
        source = self.root / "source"
        if not source.exists():
            part = self._part("source")
            write_block(SyntheticClips(count, seed), part)
            part.rename(source)
        self.source = _open_source(source)

    def prepare(self, candidate: Candidate) -> Store:
        """Write the files of a candidate unless they exist, and check its first clips.

        Raises:
            BenchError: If a clip differs from its source.
        """
        folder, metadata = self.root / candidate.store, self.root / f"{candidate.store}.json"
        if not (folder.exists() and metadata.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            part = self._part(candidate.store)
            start = time.perf_counter()
            disk_bytes = candidate.prepare(self.source, part)
            _flush(part)
            store = Store(str(folder), time.perf_counter() - start, disk_bytes)
            part.rename(folder)
            metadata.write_text(json.dumps(asdict(store)))
        store = Store(**{**json.loads(metadata.read_text()), "folder": str(folder)})
        check_clips(candidate, folder, self.source)
        return store

    def _part(self, name: str) -> Path:
        """Return a new empty folder, without the files of an interrupted run."""
        part = self.root / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        return part


def _open_source(source: Path) -> StoredClips:
    """Open the source clips.

    Raises:
        BenchError: If a file is damaged.
    """
    try:
        clips = StoredClips(source)
        _ = clips.frames
    except (OSError, EOFError, ValueError) as error:
        raise BenchError(f"{source}: damaged ({error}); remove the folder and try again") from error
    return clips


def check_clips(candidate: Candidate, folder: Path, source: StoredClips) -> None:
    """Compare the first clips of a candidate to the source. All values are exact in float16, so float16 files match too.

    Raises:
        BenchError: If a clip differs.
    """
    count = min(CHECKED_CLIPS, len(source))
    for index, clip in enumerate(candidate.first_clips(folder, count)):
        if not np.array_equal(clip, source[index]):
            raise BenchError(
                f"{candidate.name}: clip {index}, shape {clip.shape}, differs from the source, shape {source[index].shape}; "
                f"remove {folder} and try again"
            )


def drop_page_cache(folder: Path) -> None:
    """Drop the files of a folder from the page cache, so that they are read from the disk next time.

    Raises:
        BenchError: If this system has no `posix_fadvise`.
    """
    if not hasattr(os, "posix_fadvise"):
        raise BenchError("--cold needs posix_fadvise, which this system lacks")
    for path in (p for p in Path(folder).rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _flush(folder: Path) -> None:
    """Flush the files to disk: dirty pages cannot be dropped, and would be written during a measurement."""
    for path in (p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
