"""Dataset of karsl on a float16 pack: batches are made in one compiled pass and sent through reused shared memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.candidate import folder_bytes
from benchmarks.candidates.base import KarslCandidate, index_folder
from benchmarks.clips import Clips


class KarslPacked(KarslCandidate):
    """KArSLDataset on a pack, with keypoint_collate in PyTorch's loader."""

    name = "karsl"

    def prepare(self, clips: Clips, folder: Path) -> int:
        from karsl.io import canonical_clip
        from karsl.pack import pack_records
        from karsl.skeletons import get_skeleton

        records: list[dict] = [
            {"clip_id": str(n), "sign": n % 100 + 1, "signer": "01", "split": "train", "num_frames": len(clips[n])}
            for n in range(len(clips))
        ]
        signs = tuple(sorted({r["sign"] for r in records}))
        pack_records(
            folder,
            {"signs": signs, "skeleton": "karsl_184"},
            records,
            lambda record: canonical_clip(clips[int(record["clip_id"])]),
            skeleton=get_skeleton("karsl_184"),
        )
        return folder_bytes(folder)

    def open(self, folder: Path, pipeline: list[dict], *, seed: int) -> Any:
        return open_pack(folder, pipeline, seed=seed)


class KarslThreads(KarslPacked):
    """The same with one thread per core, which is the default of a process that does not limit its threads."""

    name = "karsl-threads"
    store = KarslPacked.store
    max_workers = 0
    threads = os.cpu_count()


def dataset_cfg(folder: Path, pipeline: list[dict], *, seed: int) -> dict:
    """Return the config of the dataset; its index is cached next to the pack."""
    from karsl.datasets import KArSLDataset

    return dict(
        type=KArSLDataset,
        ann_file="annotations.json",
        data_root=str(folder),
        pipeline=pipeline,
        seed=seed,
        index_cache=index_folder(folder),
    )


def open_pack(folder: Path, pipeline: list[dict], *, seed: int) -> Any:
    """Return the dataset of the pack."""
    cfg = dataset_cfg(folder, pipeline, seed=seed)
    return cfg.pop("type")(**cfg)


CANDIDATE = KarslPacked()
CANDIDATES = (CANDIDATE, KarslThreads())
