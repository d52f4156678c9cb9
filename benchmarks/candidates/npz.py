"""karsl's dataset over KArSL's own archives: members read by offset, batches in one compiled pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.baselines import npz_per_sign
from benchmarks.candidates.base import KarslCandidate, index_folder
from benchmarks.clips import Clips


class KarslNpz(KarslCandidate):
    """KArSLDataset over the archives that `npz-per-sign` reads, nothing kept from one access to the next."""

    name = "karsl-npz"
    store = npz_per_sign.CANDIDATE.store

    def prepare(self, clips: Clips, folder: Path) -> int:
        return npz_per_sign.CANDIDATE.prepare(clips, folder)

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        from karsl.datasets import KArSLDataset

        return KArSLDataset(data_root=str(folder), pipeline=pipeline, seed=seed, index_cache=index_folder(folder))


CANDIDATE = KarslNpz()
