"""Dataset and transforms of karsl on KArSL's archives, one clip at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from benchmarks.candidates.npz import KarslNpz


class KarslEager(KarslNpz):
    """Samples made one by one, with or without numba."""

    name = "karsl-eager"
    store = KarslNpz.store
    libraries = ("mmengine",)
    extra = "mmengine"

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        return OneByOne(super().open(folder, pipeline, seed=seed))


class OneByOne(Dataset):
    """Dataset wrapper without `__getitems__`."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, idx: int) -> dict:
        return self.dataset[idx]


CANDIDATE = KarslEager()
