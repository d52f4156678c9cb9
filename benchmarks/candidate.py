"""What a way from files to batches is, and the table of those that are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.clips import OFFSETS_FILE, Clips, read_offsets
from benchmarks.task import EndlessOrder, ReadClip, TaskDataset, plain_loader
from karsl.errors import ConfigError, did_you_mean

# In the order of the table. A new way: a module with `CANDIDATE`, or `CANDIDATES`, and its name here.
MODULES = (
    "candidates.packed",
    "candidates.combined",
    "candidates.runner",
    "candidates.kernel",
    "candidates.stream",
    "candidates.npz",
    "candidates.eager",
    "baselines.npz_per_sign",
    "baselines.npy_per_clip",
    "baselines.memory_map",
    "baselines.mmengine",
    "baselines.webdataset",
    "baselines.mosaicml",
    "baselines.litdata",
    "baselines.huggingface",
    "baselines.lmdb",
    "baselines.hdf5",
    "memcpy",
)


class Candidate(ABC):
    """A way from clips on disk to batches.

    Its module is imported where the library may be absent, so the library is imported inside the methods.

    Attributes:
        name: In the table and for `--only`.
        role: `'peer'`, `'ours'`, `'part'` of ours, or `'limit'`.
        libraries: Modules that it imports and karsl does not require.
        extra: Of karsl, that brings them; None where none does.
        remedy: How to get them where `extra` is None.
        store: Folder of its files; ways that read the same files share it.
        max_workers: None, or 0 for a way that has no worker processes.
    """

    name: str
    role: str = "peer"
    libraries: tuple[str, ...] = ()
    extra: str | None = "bench"
    remedy: str = ""
    store: str = ""
    max_workers: int | None = None

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls) and "store" not in vars(cls):
            cls.store = cls.name

    @abstractmethod
    def prepare(self, clips: Clips, folder: Path) -> int:
        """Write all clips to an empty folder, a clip at a time.

        Returns:
            Bytes on disk, see `folder_bytes`.
        """

    @abstractmethod
    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        """Batches of the job, float32 (N, 50, 184, 4), shuffled; endless, or one epoch at a time."""

    @abstractmethod
    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        """The first clips as this way reads them, without the job, (T, 184, 4) each: compared to the source."""

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        absent = [library for library in self.libraries if find_spec(library) is None]
        if not absent:
            return None
        remedy = f"pip install 'karsl[{self.extra}]' brings it" if self.extra else self.remedy
        return f"{' and '.join(absent)} not installed; {remedy}"


class MemoryMapped(Candidate):
    """A way that reads clips by number behind PyTorch's own loader."""

    @abstractmethod
    def write(self, clips: Clips, folder: Path) -> None:
        """Write all clips to an empty folder."""

    @abstractmethod
    def open_reader(self, folder: Path) -> ReadClip:
        """Open the files, in the process that reads; gives a function from a clip's number to float32 (T, 184, 4)."""

    def prepare(self, clips: Clips, folder: Path) -> int:
        self.write(clips, folder)
        if not (folder / OFFSETS_FILE).exists():
            lengths = [len(clip) for clip in clips]
            np.save(folder / OFFSETS_FILE, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        return folder_bytes(folder)

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        count = len(read_offsets(folder)) - 1
        dataset = TaskDataset(partial(self.open_reader, folder), count, seed=seed)
        return plain_loader(
            dataset,
            batch_size=batch_size,
            sampler=EndlessOrder(count, seed=seed),
            num_workers=num_workers,
            start_method=start_method,
        )

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        read = self.open_reader(folder)
        return [np.array(read(number)) for number in range(count)]


def find_candidates() -> dict[str, Candidate]:
    """Every way by name, those whose library is absent too."""
    modules = [import_module(f"benchmarks.{module}") for module in MODULES]
    ways = [
        way for module in modules for way in (module.CANDIDATES if hasattr(module, "CANDIDATES") else (module.CANDIDATE,))
    ]
    return {way.name: way for way in ways}


def choose_candidates(names: Sequence[str] = ()) -> tuple[list[Candidate], dict[str, str]]:
    """The ways that can run here, and why the others cannot.

    Args:
        names: Only these; empty is all.

    Raises:
        ConfigError: No way has that name.
    """
    known = find_candidates()
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}")
            raise ConfigError(f"no candidate '{name}'{hint}")
    chosen = [way for way in known.values() if not names or way.name in names]
    missing = {way.name: reason for way in chosen if (reason := way.missing())}
    return [way for way in chosen if way.name not in missing], missing


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
