"""karsl's dataset over a float16 pack: batches in one compiled pass, transferred in recycled shared memory."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from karsl.analysis.bench.clips import Clips
from karsl.analysis.bench.job import EndlessOrder, plain_loader
from karsl.analysis.bench.ours_eager import PIPELINE, inputs_of
from karsl.analysis.bench.ways import Way, folder_bytes


class OursPacked(Way):
    """KArSLDataset over a pack, keypoint_collate, PyTorch's loader."""

    name = "karsl"
    role = "ours"
    libraries = ("mmengine", "numba")
    extra = "fast"

    def prepare(self, clips: Clips, folder: Path) -> int:
        from karsl.skeletons import get_skeleton
        from karsl.storage import canonical_clip, pack_records

        arrays = list(range(len(clips)))
        records: list[dict] = [
            {"clip_id": str(n), "sign": n % 100 + 1, "signer": "01", "split": "train", "num_frames": len(clips[n])}
            for n in arrays
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

    def loader(
        self, folder: Path, *, batch_size: int, num_workers: int, seed: int, start_method: str
    ) -> Iterable[torch.Tensor]:
        from karsl.datasets import keypoint_collate

        dataset = open_pack(folder, PIPELINE, seed=seed)
        loader = plain_loader(
            dataset,
            batch_size=batch_size,
            sampler=EndlessOrder(len(dataset), seed=seed),
            collate_fn=keypoint_collate,
            num_workers=num_workers,
            start_method=start_method,
        )
        return inputs_of(loader)

    def first_clips(self, folder: Path, count: int) -> list[np.ndarray]:
        dataset = open_pack(folder, [PIPELINE[0], PIPELINE[-1]], seed=0)
        return [dataset[number]["inputs"].numpy() for number in range(count)]


def dataset_cfg(folder: Path, pipeline: list[dict], *, seed: int) -> dict:
    """The dataset over the pack as a config; its index file lies beside it."""
    from karsl.datasets import KArSLDataset

    return dict(
        type=KArSLDataset,
        ann_file="annotations.json",
        data_root=str(folder),
        pipeline=pipeline,
        seed=seed,
        index_cache=str(folder.with_name(f"{folder.name}-index")),
    )


def open_pack(folder: Path, pipeline: list[dict], *, seed: int):
    """The dataset over the pack."""
    cfg = dataset_cfg(folder, pipeline, seed=seed)
    return cfg.pop("type")(**cfg)


WAY = OursPacked()
