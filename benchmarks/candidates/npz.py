"""Dataset of karsl on KArSL's archives: members are read by offset, batches made in one compiled pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.baselines import npz_per_sign
from benchmarks.candidates.base import KarslCandidate, index_folder
from benchmarks.clips import Clips


class KarslNpz(KarslCandidate):
    """KArSLDataset on the archives of `npz-per-sign`, without a cache of clips."""

    name = "karsl-npz"
    store = npz_per_sign.CANDIDATE.store

    def prepare(self, clips: Clips, folder: Path) -> int:
        return npz_per_sign.CANDIDATE.prepare(clips, folder)

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        from karsl.datasets import KArSLDataset

        return KArSLDataset(data_root=str(folder), pipeline=pipeline, seed=seed, index_cache=index_folder(folder))


CANDIDATE = KarslNpz()
