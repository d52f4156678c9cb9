"""Base classes of a candidate, and the list of all candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks.clips import Clips, read_offsets, write_offsets
from benchmarks.task import EndlessOrder, ReadClip, TaskDataset, plain_loader
from karsl.errors import ConfigError, did_you_mean

# In the order of the table. A new candidate is a module with `CANDIDATE` or `CANDIDATES`, added here.
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
    """A dataset format with its loader, from clips on disk to batches.

    Its module is imported even if the library is not installed, so the methods import the library.

    Attributes:
        name: Name in the table and for `--only`.
        role: `'baseline'` (another library), `'karsl'`, `'part'` (one stage of karsl), or `'limit'`.
        libraries: Optional modules that it imports.
        extra: Extra of karsl that installs them; None if there is none.
        remedy: Instructions to install them if `extra` is None.
        store: Folder of its files; candidates that read the same files share it.
        max_workers: None, or 0 for a candidate without worker processes.
    """

    name: str
    role: str = "baseline"
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
        """Write all clips to an empty folder, one at a time.

        Returns:
            Bytes on disk, see `folder_bytes`.
        """

    @abstractmethod
    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        """Return shuffled batches of the task, float32 (N, 50, 184, 4), endless or of one epoch."""

    @abstractmethod
    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        """Return the first clips without the task, (T, 184, 4) each, which are compared to the source."""

    def missing(self) -> str | None:
        """Return the reason why it cannot run here, or None."""
        absent = [library for library in self.libraries if find_spec(library) is None]
        if not absent:
            return None
        remedy = f"pip install 'karsl[{self.extra}]'" if self.extra else self.remedy
        return f"{' and '.join(absent)} not installed: {remedy}"


class RandomAccessCandidate(Candidate):
    """Candidate that reads clips by index, with PyTorch's own loader."""

    @abstractmethod
    def write(self, clips: Clips, folder: Path) -> None:
        """Write all clips to a folder, which contains their offsets."""

    @abstractmethod
    def open_reader(self, folder: Path) -> ReadClip:
        """Open the files in the process that reads; return a function from the index of a clip to float32 (T, 184, 4)."""

    def prepare(self, clips: Clips, folder: Path) -> int:
        write_offsets([len(clip) for clip in clips], folder)
        self.write(clips, folder)
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
        return [np.array(read(index)) for index in range(count)]


def find_candidates() -> dict[str, Candidate]:
    """Return every candidate by name, including those whose library is not installed."""
    modules = [import_module(f"benchmarks.{module}") for module in MODULES]
    candidates = [
        candidate
        for module in modules
        for candidate in (module.CANDIDATES if hasattr(module, "CANDIDATES") else (module.CANDIDATE,))
    ]
    return {candidate.name: candidate for candidate in candidates}


def choose_candidates(names: Sequence[str] = ()) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates that can run here, and by name the reasons why the others cannot.

    Args:
        names: Names to choose; empty chooses all.

    Raises:
        ConfigError: If there is no candidate of a name.
    """
    known = find_candidates()
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}")
            raise ConfigError(f"no candidate '{name}'{hint}")
    chosen = [candidate for candidate in known.values() if not names or candidate.name in names]
    missing = {candidate.name: reason for candidate in chosen if (reason := candidate.missing())}
    return [candidate for candidate in chosen if candidate.name not in missing], missing


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder in bytes."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
