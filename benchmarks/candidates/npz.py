"""Dataset of karsl on KArSL's archives: members are read by offset, batches made in one compiled pass."""

from __future__ import annotations

import os
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


class KarslNpzThreads(KarslNpz):
    """The same with one thread per core, which is the default of a process that does not limit its threads."""

    name = "karsl-npz-threads"
    store = KarslNpz.store
    max_workers = 0
    threads = os.cpu_count()


CANDIDATE = KarslNpz()
CANDIDATES = (CANDIDATE, KarslNpzThreads())
